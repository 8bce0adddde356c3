/**
 * The queue without a broker: a table. A batch of puts is a row, and its worker deletes the row in the transaction that writes its
 * traces. So neither a crash nor two workers write a trace twice or lose one.
 */
import { TraceBatch } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { openLevel } from './fill-level.ts';
import { batchTraces, groupPuts, queueFull } from './group-puts.ts';
import type { Lane, TraceQueue, Write } from './types.ts';

export interface InboxOptions {
  database: Database;
  /** About how many traces it holds at most. Each process counts them five times a second while it puts. */
  maxTraces: number;
}

/** Rows that one statement locks. */
const mostRows = 100;

interface Waiting {
  place: string;
  traces: number;
}

export function openInbox({ database, maxTraces }: InboxOptions): TraceQueue {
  const sleepers = new Set<() => void>();
  /** A full batch fits at least into an empty inbox. */
  const maxPatient = Math.max(Math.floor((maxTraces * 7) / 8), Math.min(maxTraces, batchTraces));
  const level = openLevel(async () => {
    const rows = await database.query<{ traces: number }>({
      text: `SELECT least(coalesce(sum(traces), 0), 2000000000)::int AS traces FROM trace_inbox`,
    });
    return rows[0]!.traces;
  });

  const puts = groupPuts(async ({ traces, body, patient }) => {
    if (!(await level.fits(traces, patient ? maxPatient : maxTraces))) throw queueFull();
    // Processes commit what can be derived anew without waiting for the disk. This can't: it is what 202 promises.
    await database.query({
      name: 'tracking-put',
      text: `INSERT INTO trace_inbox (traces, body)
        SELECT $1::int, $2::bytea WHERE set_config('synchronous_commit', 'on', true) = 'on'`,
      values: [traces, body],
    });
    for (const wake of sleepers) wake();
  });

  function lane({ pollMs }: { pollMs: number }): Lane {
    /** Of the last batch. */
    let tracesOfRow = 1_000;

    /**
     * Locks the rows of a batch, those that come first: so many as are expected to have `limit` traces. Other lanes skip what is
     * locked here, so that hardly more may be locked than is taken: rows have 1 trace, or after a backlog 1,000.
     */
    async function lockRows(tx: Transaction, limit: number): Promise<Waiting[]> {
      const taken: Waiting[] = [];
      let sum = 0;
      let expected = Math.max(1, Math.floor(limit / tracesOfRow));
      while (expected > 0) {
        const asked = Math.min(expected, mostRows);
        const rows = await tx.query<Waiting>({
          name: 'tracking-waiting',
          text: `SELECT position::text AS place, traces FROM trace_inbox WHERE position > $1::bigint
            ORDER BY position LIMIT $2 FOR UPDATE SKIP LOCKED`,
          values: [taken.at(-1)?.place ?? '0', asked],
        });
        const beyond = rows.findIndex(({ traces }, index) => {
          const fits = sum + traces <= limit || (taken.length === 0 && index === 0);
          if (fits) sum += traces;
          return !fits;
        });
        taken.push(...(beyond < 0 ? rows : rows.slice(0, beyond)));
        if (taken.length > 0) tracesOfRow = sum / taken.length;
        expected = beyond < 0 && rows.length === asked ? Math.floor((limit - sum) / tracesOfRow) : 0;
      }
      return taken;
    }

    async function takeNow(limit: number, write: Write): Promise<number> {
      return database.transaction(async (tx) => {
        const taken = await lockRows(tx, limit);
        if (taken.length === 0) return 0;
        const rows = await tx.query<{ body: Buffer }>({
          name: 'tracking-take',
          text: `DELETE FROM trace_inbox WHERE position = ANY ($1::bigint[]) RETURNING body`,
          values: [taken.map(({ place }) => place)],
        });
        const bodies = rows.flatMap(({ body }) => TraceBatch.decode(body).traces);
        await write(tx, bodies);
        return bodies.length;
      });
    }

    return {
      async take(limit, write, signal) {
        const woken = new AbortController();
        const wake = () => woken.abort();
        // Before the look, so that nothing that is put meanwhile waits for the next one.
        sleepers.add(wake);
        try {
          const taken = await takeNow(limit, write);
          if (taken === 0) await sleep(pollMs, AbortSignal.any([signal, woken.signal]));
          return taken;
        } finally {
          sleepers.delete(wake);
        }
      },
      async stop() {},
    };
  }

  return { ...puts, lane };
}
