/** Where a browser keeps its copy of a cart: in IndexedDB, which all tabs share, or in memory if there is no IndexedDB to be had. */
import { deleteDB, type IDBPDatabase, openDB } from 'idb';

/** A copy as it is stored. */
export interface Kept {
  /** Absent from copies of versions that knew none. */
  cartUid?: string;
  device: string;
  version: number;
  /** Bytes of carts. */
  cart: Uint8Array;
  confirmed: Uint8Array;
  /** Counts up when the copy begins anew: an answer to what was sent before is of no use then. */
  epoch: number;
  /** How far the device's clock is ahead of the server's. */
  clockAheadMs: number;
}

export interface CopyStorage {
  /** Whether it outlives the page. */
  readonly isKept: boolean;
  read(): Promise<Kept | undefined>;
  /**
   * Reads the copy and writes what `act` makes of it, in one transaction: all tabs take turns. Returns once it is on disk. `undefined`
   * leaves the copy as it is; so does an error, also of the disk.
   */
  update(act: (kept: Kept | undefined) => Kept | undefined): Promise<void>;
  close(): void;
}

const store = 'copy';
const key = 'copy';
/** Some browsers leave an open or a deletion without an answer, now and then. */
const answerMs = 5_000;

type Database = IDBPDatabase<{ copy: { key: string; value: Kept } }>;

/** `onDropped`: another tab has deleted the copy, for a logout. From then on all calls fail. */
export async function openCopyStorage(name: string, onDropped: () => void): Promise<CopyStorage> {
  let database: Promise<Database> | undefined;
  let isEnded = false;

  function assertOpen(): void {
    if (isEnded) throw new Error("The browser's copy of this cart was closed.");
  }

  async function open(): Promise<Database> {
    assertOpen();
    database ??= openDatabase().catch((error) => {
      database = undefined;
      throw error;
    });
    return database;
  }

  async function openDatabase(): Promise<Database> {
    const opening = openDB<{ copy: { key: string; value: Kept } }>(name, 1, {
      upgrade: (db) => void db.createObjectStore(store),
      blocking() {
        if (isEnded) return;
        end();
        onDropped();
      },
      // The browser has closed it, say because the user deletes the page's data: the next call opens it again.
      terminated() {
        database = undefined;
      },
    });
    try {
      return await within(opening);
    } catch (error) {
      opening.then((late) => late.close()).catch(() => {});
      throw error;
    }
  }

  function end(): void {
    isEnded = true;
    database?.then((db) => db.close()).catch(() => {});
  }

  try {
    await open();
  } catch {
    let kept: Kept | undefined;
    return {
      isKept: false,
      async read() {
        assertOpen();
        return kept;
      },
      async update(act) {
        assertOpen();
        kept = act(kept) ?? kept;
      },
      close: end,
    };
  }
  return {
    isKept: true,
    read: async () => (await open()).get(store, key),
    async update(act) {
      // Strict: what was shown as added, and sent, must not be gone after a power cut, or its number would be used again.
      const tx = (await open()).transaction(store, 'readwrite', { durability: 'strict' });
      tx.done.catch(() => {});
      try {
        const next = act(await tx.store.get(key));
        if (next) await tx.store.put(next, key);
      } catch (error) {
        try {
          tx.abort();
        } catch {
          // The error, say a full disk, has ended it already.
        }
        throw error;
      }
      await tx.done;
    },
    close: end,
  };
}

/** Deletes the copy, in all tabs: for a logout, so that the next user of the browser does not see it. */
export async function deleteBrowserCart(name: string): Promise<void> {
  // Copies in memory have no database that is deleted under them.
  const tabs = new BroadcastChannel(name);
  tabs.postMessage('dropped');
  tabs.close();
  if (hasIndexedDb()) await within(deleteDB(name));
}

function hasIndexedDb(): boolean {
  try {
    return 'indexedDB' in globalThis && Boolean((globalThis as { indexedDB?: unknown }).indexedDB);
  } catch {
    return false;
  }
}

async function within<T>(answer: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`IndexedDB has not answered in ${answerMs} ms.`)), answerMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
