/** What slows a log down as it gets older: an open snapshot, remembered claims, many months. */
import { derivedId, newId, timeOfId } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { migrateLog, openLog } from '../log.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure, Tools } from '../types.ts';

const bench = 'log-age';
const months = 120;
const readers = 8;
const writers = 64;
const hash = Buffer.alloc(16, 1);
const reply = Buffer.alloc(40, 2);

type OpenLog = ReturnType<typeof openLog>;

async function open(url: string, schema: string): Promise<OpenLog> {
  await migrateLog(url, schema);
  return openLog({ url, schema, poolSize: readers + 2, statementTimeoutMs: 7_200_000 });
}

let series = 0;

/** Work of clients that append with commands: each to its own stream (`hot`), or each time to a new one. */
function appending({ log }: OpenLog, kind: 'hot' | 'new') {
  const run = series++;
  const turns: number[] = [];
  return async (client: number) => {
    const turn = turns[client] ?? 0;
    turns[client] = turn + 1;
    const version = kind === 'hot' ? turn : 0;
    const stream = streamOf(kind === 'hot' ? `AGE-${run}-${client}` : `AGE-${run}-${client}-${turn}`);
    const requestId = newId();
    const command = { key: derivedId(requestId), hash, reply, madeAt: timeOfId(requestId)! };
    const event = version === 0 ? created(stream) : restocked(version);
    const result = await log.append({ stream, expected: version, events: [event], command });
    if (result.kind !== 'appended') throw new Error(`${stream}: ${result.kind}`);
  };
}

/** Appends a second, and PostgreSQL's processor time for one in microseconds. */
async function measured(work: (client: number) => Promise<void>, clients: number, seconds: number) {
  const before = cpuTimes();
  const { rate, operations } = await closedLoop({ clients, seconds, work });
  return { rate, cpu: (cpuUsed(before, cpuTimes()).postgres! / operations) * 1_000_000 };
}

/** Beside a snapshot that stays open: at its end, against before. */
async function besideSnapshot(url: string, kind: 'hot' | 'new', { quick, say }: Tools): Promise<Figure[]> {
  const log = await open(url, `snapshot_${kind}`);
  const holder = openLog({ url, schema: `snapshot_${kind}`, poolSize: 1, statementTimeoutMs: 7_200_000 });
  const seconds = quick ? 2 : 20;
  const work = appending(log, kind);
  try {
    await closedLoop({ clients: 4, seconds, work });
    const before = await measured(work, 4, seconds);
    const beside = await holder.database.transaction(async (tx) => {
      await tx.query({ text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ' });
      await tx.query({ text: 'SELECT position FROM log_end()' });
      say(`a snapshot is open, ${kind} streams`);
      await closedLoop({ clients: 4, seconds: quick ? 5 : 600, work });
      return measured(work, 4, seconds);
    });
    return [
      ratioOf(
        { bench, metric: `snapshot.${kind}.cpu`, goal: { kind: 'atMost', value: 1.3 } },
        [beside.cpu],
        [before.cpu],
      ),
      ratioOf(
        { bench, metric: `snapshot.${kind}.rate`, goal: { kind: 'atLeast', value: 0.8 } },
        [beside.rate],
        [before.rate],
      ),
    ];
  } finally {
    await holder.close();
    await log.close();
  }
}

/** Claims of commands of the last 30 days, made in the order of time. */
async function fillClaims(database: Database, count: number): Promise<void> {
  const run = (text: string, values: unknown[] = []) => database.query({ text, values });
  await run("SELECT make_claims_partition(now() + n * interval '240 hours') FROM generate_series(0, 3) AS n");
  await run(
    `INSERT INTO claims SELECT
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || left(md5(n::text), 20))::uuid,
       at + interval '30 days', 1, 0, 0, decode(repeat('00', 16), 'hex'), decode(repeat('00', 40), 'hex'), 'inventory.stock/OLD-' || n
     FROM (SELECT n, now() - interval '29 days' * (1 - n / $1::float8) AS at FROM generate_series(1, $1::bigint) AS n) made`,
    [count],
  );
  await run('VACUUM (FREEZE) claims');
  await run('CHECKPOINT');
}

async function withClaims(url: string, { quick, say }: Tools): Promise<Figure[]> {
  const logs = { none: await open(url, 'claims_none'), many: await open(url, 'claims_many') };
  try {
    const count = quick ? 200_000 : 50_000_000;
    say(`${count.toLocaleString('en')} claims`);
    await fillClaims(logs.many.database, count);
    const figures: Figure[] = [];
    for (const kind of ['hot', 'new'] as const) {
      const round = (log: OpenLog) => () => measured(appending(log, kind), writers, quick ? 1 : 10);
      const { none, many } = await takeTurns(
        { none: round(logs.none), many: round(logs.many) },
        { rounds: quick ? 1 : 5, say },
      );
      const rates = (rounds: typeof none) => rounds.map(({ rate }) => rate);
      figures.push(
        figureOf({ bench, metric: `claims.${kind}.none`, unit: '/s' }, rates(none)),
        figureOf({ bench, metric: `claims.${kind}.many`, unit: '/s' }, rates(many)),
        ratioOf(
          { bench, metric: `claims.${kind}.many-vs-none`, goal: { kind: 'atLeast', value: 0.9 } },
          rates(many),
          rates(none),
        ),
      );
    }
    return figures;
  } finally {
    await Promise.all(Object.values(logs).map((log) => log.close()));
  }
}

/** A stream that has events in all past months, and the same one in a log without past months. */
async function fillMonths(log: OpenLog, past: number): Promise<void> {
  await log.database.query({
    text: `DO $$ DECLARE first timestamptz; BEGIN
        FOR n IN REVERSE ${past}..1 LOOP
          first := (date_trunc('month', now() AT TIME ZONE 'UTC') - n * interval '1 month') AT TIME ZONE 'UTC';
          PERFORM make_partition(first);
          INSERT INTO months VALUES (month_of(first), (${past} - n) * 10);
          INSERT INTO stream_months VALUES ('${streamOf('OLD')}', month_of(first), (${past} - n) * 10);
          INSERT INTO events SELECT (${past} - n) * 10 + i, first + i * interval '1 hour', (${past} - n) * 10 + i, 1, gen_random_uuid(),
            '${streamOf('OLD')}', 'inventory.stock.restocked.v1', decode(repeat('00', 120), 'hex'), decode(repeat('00', 160), 'hex')
          FROM generate_series(1, 10) AS i;
        END LOOP;
      END $$`,
  });
  const events = Array.from({ length: 20 }, (_, n) => restocked(n));
  for (let n = 0; n < 50; n++) await log.log.append({ stream: streamOf('OLD'), expected: past * 10 + n * 20, events });
  await log.database.query({ text: 'VACUUM (ANALYZE, FREEZE)' });
}

async function overMonths(url: string, { quick, say }: Tools): Promise<Figure[]> {
  const logs = { new: await open(url, 'months_new'), old: await open(url, 'months_old') };
  try {
    await fillMonths(logs.new, 0);
    await fillMonths(logs.old, months);
    const past = { new: 0, old: months * 10 };
    const reads = {
      'stream-tail': ({ log }: OpenLog, before: number) =>
        log.readStreams([{ stream: streamOf('OLD'), afterVersion: before + 990 }], { limit: 10 }),
      'stream-begin': ({ log }: OpenLog) =>
        log.readStreams([{ stream: streamOf('OLD'), afterVersion: 0 }], { limit: 10 }),
      'log-tail': ({ log }: OpenLog, before: number) => log.readLog(before + 990, { limit: 10 }),
    };
    const figures: Figure[] = [];
    for (const [name, read] of Object.entries(reads)) {
      const round = (which: 'new' | 'old') => async () =>
        (
          await closedLoop({
            ...{ clients: readers, seconds: quick ? 1 : 5 },
            work: () => read(logs[which], past[which]),
          })
        ).rate;
      const rates = await takeTurns({ new: round('new'), old: round('old') }, { rounds: quick ? 1 : 5, say });
      figures.push(
        figureOf({ bench, metric: `months.${name}.new`, unit: '/s' }, rates.new),
        figureOf({ bench, metric: `months.${name}.old`, unit: '/s' }, rates.old),
        ratioOf(
          { bench, metric: `months.${name}.old-vs-new`, goal: { kind: 'atLeast', value: 0.9 } },
          rates.old,
          rates.new,
        ),
      );
    }
    return figures;
  } finally {
    await Promise.all(Object.values(logs).map((log) => log.close()));
  }
}

export const logAge: Bench = {
  name: bench,
  title: 'A log that gets older',
  compares: `Appends with command ids while a snapshot of the database stays open for ten minutes, against before it: PostgreSQL's processor time for one, and their rate, to 4 hot streams and to new streams. Appends of ${writers} writers to a log that remembers 50,000,000 claims, against one that remembers none. Reads of ${readers} readers from a log with ${months} past months, against one without: the end and the beginning of a stream that has events in each month, and the end of the log.`,
  needs: ['postgres'],

  async run(tools: Tools) {
    const fresh = await freshDatabase();
    try {
      return [
        ...(await overMonths(fresh.url, tools)),
        ...(await withClaims(fresh.url, tools)),
        ...(await besideSnapshot(fresh.url, 'hot', tools)),
        ...(await besideSnapshot(fresh.url, 'new', tools)),
      ];
    } finally {
      await fresh.drop();
    }
  },
};
