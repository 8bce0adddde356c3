/**
 * A log beyond one connection to one server: read from a standby that is promoted later, restored from a dump, and written
 * through a pooler in transaction mode. See docs/event-log-write-path.md.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { openReader } from '@caudal/eventlog/reader.ts';
import { someAppend, someCommand, summary } from '@caudal/eventlog/testing/events.ts';
import { freshLog, setClockAhead } from '@caudal/eventlog/testing/log.ts';
import { expectWhole } from '@caudal/eventlog/testing/whole-log.ts';
import type { Append, EventLog, RecordedEvent } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Database, openDatabase, type Statement } from '@caudal/postgres/database.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, expect, test } from '@jest/globals';
import { borrow, type Kit } from '../../scripts/kit.ts';
import { freePorts } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';
import { fromDebian } from './debian.ts';
import { describeNeeding } from './describe-needing.ts';

const schema = 'orders';
const monthMs = 31 * 86_400_000;

/** The version that the program prints; undefined if it is not there. */
function versionOf(program: string): string | undefined {
  try {
    return /\d+(\.\d+)+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0];
  } catch {
    return undefined;
  }
}

/** Appends to a few streams, with commands, claims and units, while `isOn`. Returns how many landed. */
async function keepAppending(log: EventLog, isOn: () => boolean): Promise<number> {
  let landed = 0;
  await Promise.all(
    Array.from({ length: 6 }, async (_, writer) => {
      for (let round = 0; isOn(); round++) {
        const append: Append = {
          ...someAppend(`orders.order/${writer}`, 'any', [`${writer}.${round}`], someCommand()),
          also: [someAppend(`orders.order/shared-${round % 3}`, 'any', [`${writer}.${round}+`])],
          claims: [{ scope: 'x', id: newId(), days: 7, record: { kind: 1, outcome: Buffer.from('x') } }],
        };
        const result = await log.append(append);
        expect(result.kind).toBe('appended');
        expect(await log.append(append)).toMatchObject({ kind: 'duplicate' });
        landed += 2;
      }
    }),
  );
  return landed;
}

describeNeeding({ servers: ['postgres'] }, 'a log with a standby', () => {
  let kit: Kit | undefined;
  const closing: (() => Promise<unknown>)[] = [];
  const shared = process.env.POSTGRES_URL;
  afterEach(async () => {
    for (const close of closing.toReversed()) await close();
    await kit?.giveBack();
    process.env.POSTGRES_URL = shared;
  }, 60_000);

  test('is read there while it is written, over a month end, and goes on there after it was promoted', async () => {
    kit = await borrow(['postgres', 'postgres-replica']);
    // jest gives each file an environment of its own.
    Object.assign(process.env, { POSTGRES_URL: kit.variables.POSTGRES_URL });
    const fresh = await freshLog(schema);
    closing.push(() => fresh.drop());
    const replica = new URL(fresh.url);
    replica.port = new URL(kit.variables.POSTGRES_REPLICA_URL!).port;
    const standby = openDatabase({ url: replica.href, schema });
    closing.push(() => standby.close());
    const reader = openReader({ database: standby, domain: schema });
    closing.push(() => reader.stop());
    await until(
      'the standby has the log',
      () => reader.readLog(0).catch(() => undefined),
      (read) => read !== undefined,
    );

    let isOn = true;
    const appending = keepAppending(fresh.log, () => isOn);
    const seen: RecordedEvent[] = [];
    const beginning = Date.now();
    for (let page = 0; page < 200; page++) {
      // In two steps: a repeat that came 30 days after its command would rightly be new.
      if (page === 70) await setClockAhead(fresh.database, '16 days');
      if (page === 130) await setClockAhead(fresh.database, '32 days');
      const { events, head } = await reader.readLog(seen.length, { waitMs: 1_000, limit: 100 });
      expect(events.map(({ position }) => position)).toEqual(events.map((_, n) => seen.length + n + 1));
      seen.push(...events);
      expect(head).toBeGreaterThanOrEqual(seen.length);
      // What is read of a stream goes on without a gap from what was seen of it.
      const stream = `orders.order/${page % 6}`;
      const version = seen.filter((event) => event.stream === stream).length;
      const more = await reader.readStreams([{ stream, afterVersion: version }]);
      expect(more.map((event) => event.version)).toEqual(more.map((_, n) => version + n + 1));
    }
    isOn = false;
    const landed = await appending;
    expect(seen.at(-1)!.recordedAt.getTime()).toBeGreaterThan(beginning + monthMs - 86_400_000);
    await until(
      'the standby has all of it',
      () => reader.readLog(0, { limit: 1 }),
      ({ head }) => head === landed,
    );
    const before = await expectWhole(reader, { ...standby, transaction: fresh.database.transaction });

    await standby.query({ text: 'SELECT pg_promote()' });
    const log = openEventLog({ database: standby, domain: schema });
    closing.push(() => log.stop());
    let rounds = 0;
    const more = await keepAppending(log, () => rounds++ < 30);
    const after = await expectWhole(log, standby);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(landed + more);
    // Nothing was lost.
    expect(log.epochs!()).toMatchObject([{ after: landed }]);
    expect(after.map(({ epoch }) => epoch !== undefined)).toEqual(after.map((_, n) => n >= landed));
  }, 180_000);
});

describeNeeding(
  {
    servers: ['postgres'],
    others: { 'pg_dump: apt-get install postgresql-client': versionOf('pg_dump') !== undefined },
  },
  'a dump of a log',
  () => {
    test('is restored into another database, and the log goes on there; its commands and claims are known', async () => {
      const fresh = await freshLog(schema);
      const target = await freshDatabase();
      const folder = mkdtempSync(join(tmpdir(), 'caudal-dump-'));
      try {
        let rounds = 0;
        await keepAppending(fresh.log, () => rounds++ < 60);
        await setClockAhead(fresh.database, '31 days');
        const command = someCommand();
        const claims = [{ scope: 'y', id: newId(), days: 7, record: { kind: 1, outcome: Buffer.from('y') } }];
        const last = { ...someAppend('orders.order/last', 0, ['last'], command), claims };
        await fresh.log.append(last);
        const before = await expectWhole(fresh.log, fresh.database);

        const file = join(folder, 'dump');
        execFileSync('pg_dump', ['--format=custom', `--file=${file}`, fresh.url]);
        execFileSync('pg_restore', ['--exit-on-error', '--jobs=2', `--dbname=${target.url}`, file]);
        const database = openDatabase({ url: target.url, schema });
        const log = openEventLog({ database, domain: schema });
        expect(await expectWhole(log, database)).toEqual(before);
        expect(await log.append(last)).toMatchObject({ kind: 'duplicate' });
        const again = await log.append({ ...someAppend('orders.order/last', 1), claims });
        expect(again).toMatchObject({ kind: 'claimed', claims: [{ outcome: Buffer.from('y') }] });
        rounds = 0;
        await keepAppending(log, () => rounds++ < 30);
        const after = await expectWhole(log, database);
        expect(after.slice(0, before.length)).toEqual(before);
        expect(log.epochs!()).toMatchObject([{ after: before.length }]);
        await log.stop();
        await database.close();
      } finally {
        rmSync(folder, { recursive: true });
        await fresh.drop();
        await target.drop();
      }
    }, 120_000);
  },
);

const pooler = fromDebian('pgbouncer', () => versionOf('pgbouncer'));
/** From 1.21 on PgBouncer knows prepared statements in transaction mode. */
const preparesInTransactions = pooler !== undefined && Number(pooler.split('.')[1]) >= 21;

describeNeeding(
  { servers: ['postgres'], others: { 'pgbouncer: apt-get install pgbouncer': pooler !== undefined } },
  `a log through PgBouncer ${pooler} in transaction mode`,
  () => {
    /** With an older PgBouncer statements have no names, so that the rest is tested. */
    function plain(database: Database): Database {
      if (preparesInTransactions) return database;
      const nameless = <R>({ text, values }: Statement) => database.query<R>({ text, values });
      return { ...database, query: nameless };
    }

    test('takes turns, lands once, reads whole; two server connections carry many clients', async () => {
      const fresh = await freshLog(schema);
      const folder = mkdtempSync(join(tmpdir(), 'caudal-pooler-'));
      const [port] = (await freePorts(1)) as [number];
      const { hostname, port: serverPort, pathname, username } = new URL(fresh.url);
      const settings = `SET search_path TO ${schema}; SET lock_timeout = 5000; SET statement_timeout = 10000; SET TimeZone = UTC`;
      writeFileSync(
        join(folder, 'pgbouncer.ini'),
        `[databases]
log = host=${hostname} port=${serverPort} dbname=${pathname.slice(1)} user=${username} connect_query='${settings}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
${preparesInTransactions ? 'max_prepared_statements = 100' : ''}
ignore_startup_parameters = options,extra_float_digits,statement_timeout,lock_timeout,idle_in_transaction_session_timeout
`,
      );
      chmodSync(folder, 0o755);
      // It does not run as root.
      const user = process.getuid?.() === 0 ? ['-u', 'postgres'] : [];
      const pooling: ChildProcess = spawn('pgbouncer', [...user, '-q', join(folder, 'pgbouncer.ini')], {
        stdio: 'ignore',
      });
      const databases: Database[] = [];
      const open = () => {
        const database = openDatabase({ url: `postgres://postgres@127.0.0.1:${port}/log`, schema, poolSize: 4 });
        databases.push(database);
        return plain(database);
      };
      try {
        const probe = open();
        await until(
          'it answers',
          () => probe.query({ text: 'SELECT 1' }).catch(() => []),
          (rows) => rows.length === 1,
        );
        const logs = Array.from({ length: 3 }, () => openEventLog({ database: open(), domain: schema }));
        let rounds = 0;
        const landed = await Promise.all(logs.map((log) => keepAppending(log, () => rounds++ < 200)));
        const events = await expectWhole(fresh.log, fresh.database);
        expect(events).toHaveLength(landed.reduce((sum, count) => sum + count, 0));
        expect(summary(await logs[0]!.readStreams([{ stream: 'orders.order/1', afterVersion: 0 }]))).toEqual(
          summary(events.filter(({ stream }) => stream === 'orders.order/1')),
        );
        await Promise.all(logs.map((log) => log.stop()));
      } finally {
        await Promise.all(databases.map((database) => database.close()));
        pooling.kill('SIGTERM');
        rmSync(folder, { recursive: true });
        await fresh.drop();
      }
    }, 120_000);
  },
);
