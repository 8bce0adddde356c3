/**
 * The rows of carts. Changes of one cart that arrive while one is being written share the next transaction: the row is read and written
 * once for all of them. Every answer leaves after the commit is on disk.
 */
import { setImmediate } from 'node:timers/promises';
import { linesOf } from '@caudal/carts/cart.ts';
import { valuesOf } from '@caudal/carts/fields.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError, invalidField } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { newCart, type StoredCart } from '../domain/stored-cart.ts';
import { lockId } from './cart-rows.ts';
import { decodeStored, encodeStored } from './document.ts';
import { type CartKey, noCartOfErased, noGuestCart, opensWith } from './keys.ts';

/** A row beside its content. */
export interface CartRow {
  /** False before the first change. */
  exists: boolean;
  stored: StoredCart;
  tokenHash: Buffer | undefined;
  mergedInto: string | undefined;
  changedAt: Date | undefined;
}

/** One change of a row. */
export interface Change<R> {
  key: CartKey;
  /** Makes a repeat do nothing. */
  commandId?: CommandId;
  /** Whether the command is only begun: another change does it, and notes it in `done`. */
  isBegin?: boolean;
  /**
   * The row after it, and the answer; throws to refuse it. `done`: commands that are done with it, whoever has sent them. Called once in
   * each transaction that is tried.
   */
  decide(row: CartRow): { row: CartRow; reply: R; done?: Done[] };
  /** The answer to a repeat, from the row as it is. `answer` is what the first one has left. */
  repeat(row: CartRow, answer: string): R;
  signal?: AbortSignal;
}

/** A command that is done, and what it leaves for its repeats. */
export interface Done {
  key: string;
  hash: Buffer;
  answer: string;
}

export interface CartStore {
  /** Errors: those of `decide`; REQUEST_ID_REUSED; CARTS_BUSY; UNAVAILABLE, after which it may be done or not. */
  change<R>(change: Change<R>): Promise<R>;
  /** Changes two rows, or none. `decide` gets and returns them in the order of the keys. */
  changeBoth(keys: CartKey[], decide: (rows: CartRow[]) => CartRow[]): Promise<void>;
  /** The row as it is (strong read). */
  read(key: CartKey): Promise<CartRow>;
}

interface Waiting extends Change<unknown> {
  resolve(reply: unknown): void;
  reject(error: unknown): void;
}

/** Changes of one cart that wait, and those of one transaction. */
const mostWaiting = 2_000;
const mostTogether = 256;
/** How long changes are decided before other work of the process gets a turn: one of a large cart takes milliseconds. */
const mostTurnMs = 10;

interface Row {
  content: Buffer;
  token_hash: Buffer | null;
  merged_into: string | null;
  changed_at: Date;
}

const columns = 'content, token_hash, merged_into, changed_at';

export function openCartStore({ database, clock }: { database: Database; clock: Clock }): CartStore {
  const queues = new Map<string, Waiting[]>();

  /** Writes what waits for a cart until nothing does. */
  async function run(name: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, mostTogether).filter((change) => {
        if (!change.signal?.aborted) return true;
        change.reject(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller has disconnected.'));
        return false;
      });
      if (batch.length > 0) await write(batch);
    }
    queues.delete(name);
  }

  async function write(batch: Waiting[]): Promise<void> {
    try {
      const settle = await database.transaction((tx) => decideAll(tx, batch));
      for (const done of settle) done();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /** Decides all changes on one row. What each answers is known only once the transaction has ended. */
  async function decideAll(tx: Transaction, batch: Waiting[]): Promise<(() => void)[]> {
    const { key } = batch[0]!;
    const before = await lock(tx, key);
    const repeats = await doneBefore(tx, batch);
    const made: Done[] = [];
    let row = before;
    const settle: (() => void)[] = [];
    let turnBegan = performance.now();
    for (const change of batch) {
      if (performance.now() - turnBegan > mostTurnMs) {
        await setImmediate();
        turnBegan = performance.now();
      }
      const { commandId, resolve, reject } = change;
      try {
        const first = commandId && repeats.get(commandId.key);
        if (first) {
          if (!first.hash.equals(commandId.hash)) throw reused();
          settle.push(() => resolve(change.repeat(row, first.answer)));
          continue;
        }
        const { row: after, reply, done = [] } = change.decide(row);
        row = after;
        settle.push(() => resolve(reply));
        const own = { key: commandId?.key ?? '', hash: Buffer.from(commandId?.hash ?? []), answer: '' };
        for (const record of commandId && !change.isBegin ? [...done, own] : done) {
          made.push(record);
          repeats.set(record.key, record);
        }
      } catch (error) {
        settle.push(() => reject(error));
      }
    }
    if (row !== before) await save(tx, key, { before, row });
    if (made.length > 0) await remember(tx, key.cartId, made);
    return settle;
  }

  async function lock(tx: Transaction, key: CartKey): Promise<CartRow> {
    const { cartId } = key;
    const find = {
      name: 'carts-lock',
      text: `SELECT ${columns} FROM carts WHERE cart_id = $1 FOR UPDATE`,
      values: [cartId],
    };
    const [found] = await tx.query<Row>(find);
    // A guest's cart is made under a new id, by one call. So an unknown id is refused after as little work as a wrong token.
    if (found || key.tokenHash) return rowOf(found, key);
    // So that two first changes wait for each other: the lock ends with the transaction.
    await lockId(tx, cartId);
    const [made] = await tx.query<Row>(find);
    return rowOf(made, key);
  }

  async function doneBefore(tx: Transaction, batch: Waiting[]) {
    const keys = batch.flatMap(({ commandId }) => (commandId ? [commandId.key] : []));
    const rows =
      keys.length === 0
        ? []
        : await tx.query<Done>({
            name: 'carts-commands',
            text: 'SELECT key, hash, answer FROM cart_commands WHERE cart_id = $1 AND key = ANY($2::uuid[])',
            values: [batch[0]!.key.cartId, keys],
          });
    return new Map(rows.map((row) => [row.key, row]));
  }

  async function remember(tx: Transaction, cartId: string, made: Done[]) {
    await tx.query({
      name: 'carts-remember',
      text: `INSERT INTO cart_commands (cart_id, key, hash, answer, made_at)
        SELECT $1, key, decode(hash, 'hex'), answer, $5 FROM unnest($2::uuid[], $3::text[], $4::text[]) m(key, hash, answer)
        ON CONFLICT DO NOTHING`,
      values: [
        cartId,
        made.map(({ key }) => key),
        made.map(({ hash }) => hash.toString('hex')),
        made.map(({ answer }) => answer),
        clock(),
      ],
    });
  }

  async function save(
    tx: Transaction,
    key: CartKey,
    { before, row }: { before: CartRow; row: CartRow },
  ): Promise<void> {
    if (!before.exists) await assertNotErased(tx, key);
    const { cartId, seal } = key;
    const { stored, tokenHash, mergedInto, changedAt } = row;
    const reminders = stored.cart.fields.get('reminders');
    const mayRemind = reminders !== undefined && valuesOf(reminders)[0] === 'yes';
    await tx.query({
      name: 'carts-save',
      // What was answered must not be lost with the server.
      text: `INSERT INTO carts (cart_id, version, content, token_hash, merged_into, lines, may_remind, checking_out, changed_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE set_config('synchronous_commit', 'on', true) = 'on'
        ON CONFLICT (cart_id) DO UPDATE SET version = excluded.version, content = excluded.content,
          token_hash = excluded.token_hash, merged_into = excluded.merged_into, lines = excluded.lines,
          may_remind = excluded.may_remind, checking_out = excluded.checking_out,
          abandoned_at = CASE WHEN carts.changed_at = excluded.changed_at THEN carts.abandoned_at END,
          changed_at = excluded.changed_at`,
      values: [
        ...[cartId, stored.version, seal.seal(encodeStored(stored)), tokenHash ?? null, mergedInto ?? null],
        ...[linesOf(stored.cart).length, mayRemind, stored.checkout !== undefined, changedAt ?? clock()],
      ],
    });
  }

  return {
    change: <R>(change: Change<R>) =>
      new Promise<R>((resolve, reject) => {
        // A caller with a wrong token must not share a transaction with the owner.
        const name = `${change.key.cartId} ${change.key.tokenHash?.toString('hex') ?? ''}`;
        const queue = queues.get(name);
        if (queue && queue.length >= mostWaiting)
          throw new CaudalError('RESOURCE_EXHAUSTED', 'CARTS_BUSY', 'Too many changes of this cart wait. Try again.', {
            retryAfterMs: 1_000,
          });
        const waiting = { ...change, resolve, reject } as Waiting;
        if (queue) queue.push(waiting);
        else {
          const begun = [waiting];
          queues.set(name, begun);
          void run(name, begun);
        }
      }),
    async changeBoth(keys, decide) {
      await database.transaction(async (tx) => {
        const rows = new Map<CartKey, CartRow>();
        // Locked in one order by all, so that no two wait for each other.
        for (const key of [...keys].sort((a, b) => (a.cartId < b.cartId ? -1 : 1))) rows.set(key, await lock(tx, key));
        const before = keys.map((key) => rows.get(key)!);
        for (const [place, row] of decide(before).entries())
          if (row !== before[place]) await save(tx, keys[place]!, { before: before[place]!, row });
      });
    },
    async read(key) {
      const text = `SELECT ${columns} FROM carts WHERE cart_id = $1`;
      const [found] = await database.query<Row>({ name: 'carts-read', text, values: [key.cartId] });
      return rowOf(found, key);
    },
  };
}

/**
 * Refuses to make the row of a customer whose key is destroyed: this process may have the key in memory still. Under the lock of the id, which
 * the erasure takes after it has destroyed the key, so no row is made behind it. Throws CUSTOMER_ERASED.
 */
async function assertNotErased(tx: Transaction, { customerId }: CartKey): Promise<void> {
  if (customerId === undefined) return;
  const erased = await tx.query({
    name: 'carts-erased',
    text: 'SELECT FROM person_keys WHERE person = $1 AND wrapped IS NULL',
    values: [customerId],
  });
  if (erased.length > 0) throw noCartOfErased(customerId);
}

function rowOf(found: Row | undefined, key: CartKey): CartRow {
  if (!found)
    return { exists: false, stored: newCart(), tokenHash: undefined, mergedInto: undefined, changedAt: undefined };
  if (!opensWith(key, found.token_hash)) throw noGuestCart();
  return {
    exists: true,
    stored: decodeStored(key.seal.open(found.content)),
    tokenHash: found.token_hash ?? undefined,
    mergedInto: found.merged_into ?? undefined,
    changedAt: found.changed_at,
  };
}

function reused(): CaudalError {
  return invalidField('request_id', 'was used for another request: use a new one for each', 'REQUEST_ID_REUSED');
}
