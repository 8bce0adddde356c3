/** For tests: reads a whole log in all ways, and checks that it is one. */
import type { Database } from '@caudal/postgres/database.ts';
import { expect } from '@jest/globals';
import { selectTotals } from '../streams.ts';
import type { LogReader, RecordedEvent } from '../types.ts';

/**
 * Expects positions and versions without a gap, times that never go back, streams that read as the log does, and months that
 * say what was true before them. Returns the events.
 */
export async function expectWhole(log: LogReader, database: Database): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (;;) {
    const page = await log.readLog(events.length);
    if (page.events.length === 0) break;
    events.push(...page.events);
  }
  expect(events.map(({ position }) => position)).toEqual(events.map((_, index) => index + 1));
  const times = events.map(({ recordedAt }) => recordedAt.getTime());
  expect(times).toEqual([...times].sort((a, b) => a - b));
  const versions = new Map<string, number>();
  for (const { stream, version } of events) {
    expect([stream, version]).toEqual([stream, (versions.get(stream) ?? 0) + 1]);
    versions.set(stream, version);
  }
  const byStream: RecordedEvent[] = [];
  for (const [stream, version] of versions)
    for (let after = 0; after < version; after = byStream.at(-1)!.version)
      byStream.push(...(await log.readStreams([{ stream, afterVersion: after }])));
  expect(byStream.sort((a, b) => a.position - b.position)).toEqual(events);
  expect(await selectTotals(database)).toEqual({ head: events.length, streams: versions.size, events: events.length });
  const wrongMonths = await database.query({
    text: `SELECT m.stream, m.month FROM stream_months m
      FULL JOIN (SELECT stream, month_of(recorded_at) AS month, min(version) - 1 AS after FROM events GROUP BY 1, 2) e
        ON e.stream = m.stream AND e.month = m.month WHERE e.after IS DISTINCT FROM m.after
      UNION ALL
      SELECT NULL, m.month FROM months m
      FULL JOIN (SELECT month_of(recorded_at) AS month, min(position) - 1 AS after FROM events GROUP BY 1) e
        ON e.month = m.month WHERE e.after IS DISTINCT FROM m.after`,
  });
  expect(wrongMonths).toEqual([]);
  return events;
}
