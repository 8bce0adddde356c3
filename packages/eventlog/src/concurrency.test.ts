import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { summary } from './testing/events.ts';
import { freshLog, holdTurn } from './testing/log.ts';
import type { RecordedEvent } from './types.ts';

interface Report {
  landed: Record<string, string>;
  problems: string[];
}

/**
 * 32 writers in 3 processes, and a reader that follows the log. Transactions take a random time, before and at their
 * commit. If a transaction could commit before another one that has lower positions, this reader would skip events.
 */
describeWith(['postgres'], 'many writers', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    await fresh.database.query({
      text: `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$`,
    });
    await fresh.database.query({
      text: 'CREATE TRIGGER dawdle AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()',
    });
    await fresh.database.query({
      text: `CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON stream_months DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle()`,
    });
  });
  afterAll(() => fresh.drop());

  async function runWriter(name: string, writers: number): Promise<Report> {
    const child = fork(new URL('./testing/writer.ts', import.meta.url), [fresh.url, name, `${writers}`, '12']);
    const exited = once(child, 'exit');
    const [report] = await Promise.race([
      once(child, 'message') as Promise<[Report]>,
      exited.then(([code]) => {
        throw new Error(`The writer ${name} has ended with ${code}`);
      }),
    ]);
    await exited;
    return report;
  }

  /** Reads the log from its start until `finished` has fired and no event is left. */
  async function follow(finished: AbortSignal): Promise<RecordedEvent[]> {
    const seen: RecordedEvent[] = [];
    for (;;) {
      const last = finished.aborted;
      const { events } = await fresh.log.readLog(seen.at(-1)?.position ?? 0, { limit: 50, waitMs: 100 });
      seen.push(...events);
      if (last && events.length === 0) return seen;
    }
  }

  /** Locks the log now and then for a while, as another session would. */
  async function interfere(finished: AbortSignal): Promise<void> {
    const { database } = fresh.open({ poolSize: 1 });
    while (!finished.aborted) {
      await database.transaction(async (tx) => {
        await holdTurn(tx);
        await tx.query({ text: 'SELECT pg_sleep(random() * 0.02)' });
      });
      await delay(Math.random() * 20);
    }
  }

  test('the reader gets every event once, in order; positions and versions have no gaps', async () => {
    const finished = new AbortController();
    const following = follow(finished.signal);
    const interfering = interfere(finished.signal);
    const reports = await Promise.all([runWriter('a', 11), runWriter('b', 11), runWriter('c', 10)]).finally(() =>
      finished.abort(),
    );
    await interfering;
    const seen = await following;

    expect(reports.flatMap(({ problems }) => problems)).toEqual([]);
    expect(seen.map(({ position }) => position)).toEqual(seen.map((_, index) => index + 1));
    const versions = new Map<string, number>();
    for (const { stream, version } of seen) {
      expect(version).toBe((versions.get(stream) ?? 0) + 1);
      versions.set(stream, version);
    }
    const landed = Object.assign({}, ...reports.map((report) => report.landed));
    const read = summary(seen).map(([stream, version, content]) => [content, `${stream}@${version}`]);
    expect(read).toHaveLength(Object.keys(landed).length);
    expect(Object.fromEntries(read)).toEqual(landed);
    expect(Object.keys(landed)).toHaveLength(32 * 12 * (5 / 3));
    const times = seen.map(({ recordedAt }) => recordedAt.getTime());
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});
