/** For tests: what a fail-over to a standby that lacks the last events leaves, without a second server. */
import type { Database } from '@caudal/postgres/database.ts';

/** Takes everything behind a position out of the log, as if the server that has it had died. */
export async function loseEnd(database: Database, after: number, { moved = true } = {}): Promise<void> {
  await database.transaction(async (tx) => {
    const run = (text: string, ...values: unknown[]) => tx.query({ text, values });
    await run('DELETE FROM events WHERE position > $1', after);
    await run('DELETE FROM months WHERE after >= $1', after);
    await run(`DELETE FROM stream_months m WHERE NOT EXISTS (SELECT FROM events e WHERE e.stream = m.stream)
      AND NOT EXISTS (SELECT FROM archived_months a WHERE a.month = m.month)`);
    const gone = `greatest((SELECT coalesce(max(e.version), 0) FROM events e WHERE e.stream = t.stream),
      (SELECT max(archived_end(s.stream, s.month)) FROM stream_months s JOIN archived_months a USING (month) WHERE s.stream = t.stream))`;
    await run(`DELETE FROM snapshots t WHERE t.version > ${gone}`);
    await run(`DELETE FROM claims t WHERE t.stream IS NOT NULL AND t.version > ${gone}`);
  });
  if (moved) await moveLog(database);
}

/** The log seems to have gone on in another place. */
export async function moveLog(database: Database): Promise<void> {
  await database.query({
    text: `UPDATE epochs SET timeline = 'former' WHERE number = (SELECT max(number) FROM epochs)`,
  });
}
