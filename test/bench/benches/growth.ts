/** Whether a long log is as fast as an empty one. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';

import { derivedId, newId, timeOfId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { stockDecider } from '@caudal/service-inventory/domain/stock.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { migrateLog, openLog } from '../log.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure, Tools } from '../types.ts';

const bench = 'growth';
const writers = 64;
const eventsOfLongStream = 10_000;
const tailed = 50_000;

/** The stock's decider without its snapshots. */
const withoutSnapshot: typeof stockDecider = { ...stockDecider, snapshot: undefined };

async function open(url: string, schema: string) {
  await migrateLog(url, schema);
  return openLog({ url, schema, poolSize: 16, statementTimeoutMs: 3_600_000 });
}

/** Writes `count` events, ten per stream, into an empty log, as if they were a second apart. */
async function fill(database: Database, count: number): Promise<void> {
  const streams = count / 10;
  const run = (text: string, values: unknown[] = []) => database.query({ text, values });
  await run(
    `SELECT make_partition(month) FROM generate_series(
       date_trunc('month', now() - $1 * interval '1 second'), now(), interval '1 month') AS month`,
    [count],
  );
  const at = `date_trunc('second', now()) - ($1 - n) * interval '1 second'`;
  await run(
    `INSERT INTO events (position, recorded_at, version, schema_version, event_id, stream, type, metadata, data)
     SELECT n, ${at}, (n - 1) / $2 + 1, 1, gen_random_uuid(), 'inventory.stock/OLD-' || (n - 1) % $2,
       'inventory.stock.restocked.v1', decode(repeat('00', 120), 'hex'), decode(repeat('00', 160), 'hex')
     FROM generate_series(1::bigint, $1::bigint) AS n`,
    [count, streams],
  );
  await run('INSERT INTO months SELECT month_of(recorded_at), min(position) - 1 FROM events GROUP BY 1');
  await run(
    'INSERT INTO stream_months SELECT stream, month_of(recorded_at), min(version) - 1 FROM events GROUP BY 1, 2',
  );
  // Command ids of the last 30 days, made in the order of time.
  await run("SELECT make_claims_partition(now() + n * interval '240 hours') FROM generate_series(0, 3) AS n");
  await run(
    `INSERT INTO claims SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || left(md5(n::text), 20))::uuid,
       at + interval '30 days', 1, 0, 0, decode(repeat('00', 16), 'hex'), decode(repeat('00', 40), 'hex'),
       'inventory.stock/OLD-' || n % $1
     FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(1, least($1 * 10, 30 * 86400 - 3600)) AS n) made
     ORDER BY at`,
    [streams],
  );
  // As autovacuum would have done over time: it must not run during the measurement.
  await run('VACUUM (ANALYZE, FREEZE)');
  await run('CHECKPOINT');
}

/** Writes a stream of many events, and its snapshot. */
async function growStream({ log }: Awaited<ReturnType<typeof open>>, productId: string): Promise<void> {
  await log.append({ stream: streamOf(productId), expected: 0, events: [created(productId)] });
  for (let version = 1; version < eventsOfLongStream; version += 500) {
    const count = Math.min(500, eventsOfLongStream - version);
    const events = Array.from({ length: count }, (_, n) => restocked(version + n));
    await log.append({ stream: streamOf(productId), expected: version, events });
  }
  const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
  await aggregates.load(stockDecider, productId);
  await aggregates.drain();
}

export const growth: Bench = {
  name: 'growth',
  title: 'A log that has grown',
  compares: `The same log, empty and with 10,000,000 events of 1,000,000 streams over four months and 2,600,000 remembered commands. Measured are appends of ${writers} writers with command ids, reading the last ${tailed.toLocaleString('en')} events as a relay does, and loading an aggregate of ${eventsOfLongStream.toLocaleString('en')} events that is not cached, with its snapshot and without. Ratios are the speed of the long log divided by that of the empty one.`,
  needs: ['postgres'],

  async run({ quick, say }: Tools) {
    const count = quick ? 200_000 : 10_000_000;
    const rounds = quick ? 1 : 5;
    const seconds = quick ? 1 : 5;
    const fresh = await freshDatabase();
    const logs = { empty: await open(fresh.url, 'inventory'), grown: await open(fresh.url, 'grown') };
    const figures: Figure[] = [];
    try {
      say(`${count.toLocaleString('en')} events`);
      await fill(logs.grown.database, count);
      let series = 0;
      const both = <T>(work: (log: (typeof logs)['empty']) => Promise<T>) =>
        takeTurns({ empty: () => work(logs.empty), grown: () => work(logs.grown) }, { rounds, say });
      const goal = { kind: 'atLeast', value: 0.9 } as const;

      const appends = await both(async ({ log }) => {
        const run = series++;
        const hash = Buffer.alloc(16, 1);
        const reply = Buffer.alloc(40, 2);
        const { rate } = await closedLoop({
          clients: writers,
          seconds,
          async work(client, turn) {
            const productId = `NEW-${run}-${client}`;
            const event = turn === 0 ? created(productId) : restocked(turn);
            const requestId = newId();
            const command = { key: derivedId(requestId), hash, reply, madeAt: timeOfId(requestId)! };
            const result = await log.append({ stream: streamOf(productId), expected: turn, events: [event], command });
            if (result.kind !== 'appended') throw new Error(`${productId}: ${result.kind}`);
          },
        });
        return rate;
      });
      const tails = await both(async ({ log }) => {
        const { head } = await log.readLog(0, { limit: 1 });
        const began = performance.now();
        let position = Math.max(0, head - tailed);
        const first = position;
        while (position < head) position = (await log.readLog(position, { limit: 1_000 })).events.at(-1)!.position;
        return (head - first) / ((performance.now() - began) / 1_000);
      });
      for (const log of Object.values(logs)) await growStream(log, 'LONG');
      const load = (decider: typeof stockDecider) =>
        both(async ({ log }) => {
          const began = performance.now();
          for (let n = 0; n < 10; n++) {
            // With an empty cache, as after a start.
            const { version } = await openAggregates({ log, clock: systemClock, ids: newId }).load(decider, 'LONG');
            if (version !== eventsOfLongStream) throw new Error(`The aggregate is at ${version}.`);
          }
          return 10_000 / (performance.now() - began);
        });
      const named = {
        append: appends,
        tail: tails,
        'load-snapshot': await load(stockDecider),
        load: await load(withoutSnapshot),
      };
      for (const [name, { empty, grown }] of Object.entries(named))
        figures.push(
          figureOf({ bench, metric: `${name}.empty`, unit: '/s' }, empty),
          figureOf({ bench, metric: `${name}.grown`, unit: '/s' }, grown),
          ratioOf({ bench, metric: `${name}.grown-vs-empty`, goal }, grown, empty),
        );
    } finally {
      await Promise.all(Object.values(logs).map((log) => log.close()));
      await fresh.drop();
    }
    return figures;
  },
};
