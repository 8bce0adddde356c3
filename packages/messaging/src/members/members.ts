/**
 * Which processes run a context's handlers and relays: the table `members`. One statement a second writes the own row and
 * reads the others'. See docs/parts.md. The rows say who should do what, never who may: the broker and leases do.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep, within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';

/** A process that was seen in the last 5 s; `ageMs` ago, by the database's clock. */
export interface Member {
  process: string;
  runs: string[];
  ageMs: number;
}

export interface Members extends Running {
  readonly process: string;
  /** Adds work to the own row; the returned function takes it out. Both are written at once, and never throw. */
  join(work: string): () => void;
  /** The processes that run anything, as of the last statement; the own one too, if it has joined. */
  all(): Member[];
  /** Calls back after each statement that counts. Returns the end of that. */
  onSeen(listener: () => void): () => void;
}

const everyMs = 1_000;
const seenMs = 5_000;
const forgetMs = 60_000;
const stopMs = 2_000;
/** A statement that took longer says nothing of ages: the others may be as slow as this process. */
const promptMs = 1_000;
/** After a longer pause the others may have paused too, because the database was away: their rows must be written first. */
const pauseMs = 2_500;
/** So many statements after a pause do not count. */
const settling = 2;

const log = logger('members');

/** Writes the own row, deletes old ones, and returns those seen lately. */
export async function seeMembers(db: Database, process: string, runs: string[]): Promise<Member[]> {
  return db.query<Member>({
    name: 'members-see',
    // Rows that another process is deleting are left to it, so that two can't deadlock.
    text: `WITH own AS (
        INSERT INTO members (process, runs) VALUES ($1, $2)
        ON CONFLICT (process) DO UPDATE SET runs = excluded.runs, seen_at = clock_timestamp()
      ), old AS (
        SELECT process FROM members
        WHERE seen_at < clock_timestamp() - $4 * interval '1 millisecond' AND process <> $1 FOR UPDATE SKIP LOCKED
      ), gone AS (DELETE FROM members USING old WHERE members.process = old.process)
      SELECT process, runs, greatest(0, extract(epoch FROM clock_timestamp() - seen_at) * 1000)::float8 AS "ageMs"
      FROM members
      WHERE seen_at > clock_timestamp() - $3 * interval '1 millisecond' AND process <> $1`,
    values: [process, runs, seenMs, forgetMs],
  });
}

/**
 * Takes part in a context. `process` is unique to the running process. While the database can't be reached, everything
 * stays as it was last seen.
 */
export function openMembers({ database, process }: { database: Database; process: string }): Members {
  const stopping = new AbortController();
  const runs = new Map<string, number>();
  const listeners = new Set<() => void>();
  let others: Member[] = [];
  let seenAt: number | undefined;
  let unsettled = 0;
  let written = false;
  let wake = new AbortController();

  async function see(): Promise<void> {
    const begun = performance.now();
    written = true;
    const rows = await seeMembers(database, process, [...runs.keys()]);
    const now = performance.now();
    if (seenAt !== undefined && now - seenAt > pauseMs) unsettled = settling;
    seenAt = now;
    if (unsettled > 0) unsettled -= 1;
    else {
      others = now - begun > promptMs ? rows.map((row) => ({ ...row, ageMs: 0 })) : rows;
      for (const listener of listeners) listener();
    }
  }

  async function leave(): Promise<void> {
    const text = 'DELETE FROM members WHERE process = $1';
    await database.query({ name: 'members-leave', text, values: [process] });
    written = false;
  }

  let running: Promise<void> | undefined;
  async function run(): Promise<void> {
    let failed = false;
    while (!stopping.signal.aborted) {
      try {
        if (runs.size > 0) await see();
        else if (written) await leave();
        failed = false;
      } catch (error) {
        if (!failed) log.warn({ err: error }, 'members are not seen: shares stay as they are');
        failed = true;
      }
      await sleep(everyMs, AbortSignal.any([stopping.signal, wake.signal]));
      if (wake.signal.aborted) wake = new AbortController();
    }
  }

  return {
    process,
    join(work) {
      runs.set(work, (runs.get(work) ?? 0) + 1);
      running ??= run();
      wake.abort();
      return () => {
        const left = (runs.get(work) ?? 0) - 1;
        if (left > 0) runs.set(work, left);
        else runs.delete(work);
        wake.abort();
      };
    },
    // Before the first statement nothing is known: a process must not think that it is alone.
    all: () =>
      runs.size === 0 || seenAt === undefined ? others : [...others, { process, runs: [...runs.keys()], ageMs: 0 }],
    onSeen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async stop() {
      stopping.abort();
      await running;
      // If it fails, the others see that it is gone within 5 s.
      if (written)
        await within(
          stopMs,
          leave().catch(() => {}),
        );
    },
  };
}
