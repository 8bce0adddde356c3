/**
 * The epochs of a log: each begins where the log has gone on after a fail-over that may have lost its last events. Every answer
 * of the log names its epoch, so a process notices another one with the first answer of it. See docs/fail-over.md.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';

/** An epoch after the first one. */
export interface Epoch {
  /** Rises; the first epoch, which is not listed, is 0. */
  number: number;
  /** Events of earlier epochs behind this position are lost. */
  after: number;
}

/** The latest epochs, the last one at the end; none while the log has only the first. */
export type Epochs = readonly Epoch[];

const log = logger('eventlog');
const mostKept = 100;
/** What log_epoch() gives while the log has gone on in another place and that is not noted. */
export const notNoted = -1;

/** The first epoch, which is not listed. */
const first: Epoch = { number: 0, after: 0 };

/** The latest epoch. */
export function presentOf(epochs: Epochs): Epoch {
  return epochs.at(-1) ?? first;
}

/**
 * Up to where the log still has what it had in an epoch; Infinity if that is the present one. An epoch that is not listed is of a
 * server that the log has not followed: of it there is nothing.
 */
export function endOf(epochs: Epochs, { number, after }: Epoch): number {
  const next = epochs.find((epoch) => epoch.number > number)?.after ?? Number.POSITIVE_INFINITY;
  return isListed(epochs, number) ? next : Math.min(after, next);
}

/** Older ones than those that are kept count as listed. */
function isListed(epochs: Epochs, number: number): boolean {
  return number <= (epochs[0]?.number ?? 0) || epochs.some((epoch) => epoch.number === number);
}

/** Whether an event is no longer in the log. `epoch`: in which it was recorded; absent: in the first. */
export function isLost(
  epochs: Epochs,
  { epoch = 0, position }: { epoch?: number | undefined; position: number },
): boolean {
  return position > endOf(epochs, { number: epoch, after: 0 });
}

/** In which epoch an event of the log was recorded; undefined: in the first. */
function epochOf(epochs: Epochs, position: number): number | undefined {
  return epochs.findLast(({ after }) => after < position)?.number;
}

/** Notes in events that were read the epochs in which they were recorded. */
export function stamp<E extends { position: number; epoch?: number | undefined }>(epochs: Epochs, events: E[]): E[] {
  if (epochs.length > 0)
    for (const event of events) {
      const epoch = epochOf(epochs, event.position);
      if (epoch !== undefined) event.epoch = epoch;
    }
  return events;
}

/** The number of the present one; `notNoted` if the log has gone on in another place. */
export async function selectEpoch(db: Transaction): Promise<number> {
  const rows = await db.query<{ epoch: number }>({ name: 'eventlog-epoch', text: 'SELECT log_epoch() AS epoch' });
  return rows[0]!.epoch;
}

/** The last ones of the log. */
async function selectEpochs(db: Transaction): Promise<Epoch[]> {
  const rows = await db.query<Epoch>({
    name: 'eventlog-epochs',
    text: 'SELECT number, after FROM epochs WHERE number > 0 ORDER BY number DESC LIMIT $1',
    values: [mostKept],
  });
  return rows.reverse();
}

/**
 * Begins an epoch if the log has gone on in another place and that is not noted, or in any case if `anyway`. `after`: where what was
 * before ends, if that is before the log's end. Only the role that owns the log may say either. Returns the number of the present one.
 */
export async function beginEpoch(
  db: Transaction,
  { anyway = false, after }: { anyway?: boolean; after?: number } = {},
): Promise<number> {
  const rows = await db.query<{ epoch: number }>(
    anyway || after !== undefined
      ? { text: 'SELECT begin_epoch($1, $2) AS epoch', values: [anyway, after ?? null] }
      : { name: 'eventlog-begin-epoch', text: 'SELECT begin_epoch() AS epoch' },
  );
  return rows[0]!.epoch;
}

/** Whether append() or a snapshot was refused because the log's epoch is another one than the process knows. */
export function isOtherEpoch(error: unknown): boolean {
  return sqlState(error) === 'CDEPO';
}

/** What a process knows of a log's epochs. */
export interface KnownEpochs {
  /** The present epoch; undefined before the first answer. */
  readonly current: number | undefined;
  list(): Epochs;
  /** Calls back after the epoch has changed, before anything of the new one is returned. Returns a function that ends it. */
  onChange(listener: () => void): () => void;
  /** Asks the log for its epoch, unless one is known. */
  learn(): Promise<number>;
  /** Reads the epochs: an answer has shown that there is a new one. */
  renew(): Promise<void>;
  /** The log is shorter than it was in its present epoch: that is its end. */
  shrunk(after: number): Promise<void>;
  /**
   * Takes over the epoch of an answer. Returns whether the answer counts; else the caller reads again. UNAVAILABLE if a server
   * has answered that is of an earlier epoch.
   */
  settle(epoch: number): boolean | Promise<boolean>;
}

export function openEpochs(database: Transaction, domain: string): KnownEpochs {
  const listeners = new Set<() => void>();
  let current: number | undefined;
  let list: Epochs = [];
  let renewing: Promise<void> | undefined;

  async function read(): Promise<void> {
    const present = await selectEpoch(database);
    if (present === notNoted) await beginEpoch(database);
    const read = await selectEpochs(database);
    const newest = presentOf(read).number;
    if (current !== undefined && newest <= current) return;
    const before = current;
    list = read;
    current = newest;
    if (before === undefined) return;
    log.warn(
      { domain, epoch: newest, after: presentOf(read).after },
      'the log has gone on in another place: what this process remembers of it is dropped',
    );
    for (const listener of listeners) listener();
  }

  function renew(): Promise<void> {
    renewing ??= read().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  async function follow(epoch: number): Promise<boolean> {
    await renew();
    return epoch === current;
  }

  return {
    get current() {
      return current;
    },
    list: () => list,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async learn() {
      if (current === undefined) await renew();
      return current!;
    },
    renew,
    async shrunk(after) {
      await beginEpoch(database, { anyway: true, after });
      await renew();
    },
    settle(epoch) {
      if (epoch === current) return true;
      if (epoch !== notNoted && current !== undefined && epoch < current)
        throw unavailable('PostgreSQL', new Error('A server has answered whose log has gone on elsewhere.'));
      return follow(epoch);
    },
  };
}
