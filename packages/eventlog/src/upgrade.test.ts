import { readFile } from 'node:fs/promises';
import { derivedId, newId, timeOfId } from '@caudal/kernel/ids.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { openEventLog } from './event-log.ts';
import { deleteOldCommands, endUpgrade, isUpgradeEnded } from './maintenance.ts';
import { migrations } from './migrations.ts';
import { someAppend, someCommand } from './testing/events.ts';
import {
  formerAppend,
  formerReadLog,
  formerReadStreams,
  insistFormer,
  migrateBefore,
} from './testing/former-version.ts';
import { expectWhole } from './testing/whole-log.ts';
import type { Append, EventLog } from './types.ts';

const schema = 'orders';

describeWith(['postgres'], 'the upgrade of a log of version 0.2', () => {
  let fresh: FreshDatabase;
  let former: Database;
  let closing: (() => Promise<void>)[];
  beforeEach(async () => {
    fresh = await freshDatabase();
    await migrateBefore(fresh.url, schema);
    closing = [];
    former = open();
  });
  afterEach(async () => {
    for (const close of closing.toReversed()) await close();
    await fresh.drop();
  });

  function open(poolSize = 4): Database {
    const database = openDatabase({ url: fresh.url, schema, poolSize });
    closing.push(() => database.close());
    return database;
  }
  function openLog(): { log: EventLog; database: Database } {
    const database = open();
    const log = openEventLog({ database, domain: schema });
    closing.push(() => log.stop());
    return { log, database };
  }
  const upgrade = (retryLocksForMs?: number) =>
    migrate({ url: fresh.url, schema, sets: [migrations], ...(retryLocksForMs !== undefined && { retryLocksForMs }) });
  const sql = (text: string) => former.query<Record<string, unknown>>({ text });
  const timedCommand = (name: string) => {
    const id = newId();
    return { ...someCommand(name, `reply ${name}`, derivedId(id)), madeAt: timeOfId(id)! };
  };

  /** A log of several months: made by appends, whose times are then moved. */
  async function makeHistory(): Promise<void> {
    await sql("SELECT make_partition(clock_timestamp() - n * interval '1 month') FROM generate_series(1, 6) AS n");
    for (let month = 6; month >= 1; month--) {
      const appends = Array.from({ length: 40 }, (_, n) =>
        someAppend(`orders.order/${(n * month) % 30}`, 'any', ['a', 'b']),
      );
      await formerAppend(former, appends);
      await sql(
        `UPDATE events SET recorded_at = recorded_at - interval '${month} months' WHERE recorded_at > clock_timestamp() - interval '10 days'`,
      );
      await sql('UPDATE head SET recorded_at = (SELECT max(recorded_at) FROM events)');
    }
    await sql(`UPDATE streams s SET created_at = e.first, updated_at = e.last
      FROM (SELECT stream, min(recorded_at) AS first, max(recorded_at) AS last FROM events GROUP BY stream) e WHERE e.stream = s.stream`);
  }

  test('keeps all events and commands; a log of several months reads as before', async () => {
    await makeHistory();
    const before = await formerReadLog(former, 0, 10_000);
    const command = someCommand();
    await formerAppend(former, [someAppend('orders.order/1', 'must-exist', ['x'], command)]);
    await upgrade();
    const { log, database } = openLog();
    const events = await expectWhole(log, database);
    expect(events.slice(0, before.length)).toEqual(before.map(({ head: _, ...event }) => event));
    expect(events).toHaveLength(6 * 80 + 1);
    expect(await log.append(someAppend('orders.order/1', 0, ['x'], command))).toMatchObject({ kind: 'duplicate' });
    expect(await upgrade()).toEqual([]);
  });

  test('under load: old and new processes append before, during and after it; nothing is lost, doubled or out of order', async () => {
    await makeHistory();
    const landed = new Map<string, Append>();
    const problems: string[] = [];
    const stopping = new AbortController();
    const upgraded = new AbortController();

    /** A writer of version 0.2: batches of appends with commands, exact versions, and repeats of its own commands. */
    async function writeFormer(name: string): Promise<void> {
      const database = open(2);
      let own = 0;
      for (let round = 0; !stopping.signal.aborted; round++) {
        const contents = [0, 1, 2].map((n) => `${name}.${round}.${n}`);
        const batch = [
          someAppend(`orders.order/${name}`, own, [contents[0]!], timedCommand(contents[0]!)),
          someAppend(`orders.order/shared-${round % 5}`, 'any', [contents[1]!], timedCommand(contents[1]!)),
          someAppend(`orders.order/${name}-${round}`, 0, [contents[2]!], timedCommand(contents[2]!)),
        ];
        try {
          const [about, ...rest] = await insistFormer(database, batch);
          if (rest.length > 0) problems.push(`${name} ${round}: ${JSON.stringify(rest)}`);
          expect(about!.versions[0]).toBe(++own);
          for (const [n, content] of contents.entries()) landed.set(content, batch[n]!);
          const repeat = await insistFormer(database, batch);
          if (repeat.filter(({ verdict }) => verdict === 'duplicate').length !== 3)
            problems.push(`${name} ${round}: repeat`);
          // What a process of 0.2 reads.
          const [stream] = await formerReadStreams(database, [`orders.order/${name}-${round}`]);
          if (stream?.version !== 1) problems.push(`${name} ${round}: stream`);
          const [{ head } = { head: 0 }] = await formerReadLog(database, 1, 1);
          if (head < own) problems.push(`${name} ${round}: head`);
        } catch (error) {
          problems.push(`${name} ${round}: ${(error as Error).message}`);
          return;
        }
      }
    }

    /** A writer of the new version, which also repeats commands of the old one. */
    async function writeNew(name: string): Promise<void> {
      await new Promise((resolve) => upgraded.signal.addEventListener('abort', resolve));
      const { log } = openLog();
      for (let round = 0; !stopping.signal.aborted; round++) {
        const content = `${name}.${round}`;
        const append = someAppend(`orders.order/shared-${round % 5}`, 'any', [content], timedCommand(content));
        const result = await log.append(append);
        if (result.kind !== 'appended') problems.push(`${content}: ${result.kind}`);
        landed.set(content, append);
        // A repeat by a process of 0.2, and one of what such a process has done.
        const [, verdict] = await insistFormer(former, [append]);
        if (verdict?.verdict !== 'duplicate') problems.push(`${content}: ${verdict?.verdict} by 0.2`);
        const [, other] = [...landed].at(-Math.ceil(Math.random() * landed.size))!;
        const again = await log.append(other);
        if (again.kind !== 'duplicate') problems.push(`${other.command!.key}: ${again.kind}`);
      }
    }

    const writers = [writeFormer('x'), writeFormer('y'), writeFormer('z'), writeNew('n'), writeNew('m')];
    while (landed.size < 100) await new Promise((resolve) => setTimeout(resolve, 10));
    await upgrade();
    const atSwitch = landed.size;
    upgraded.abort();
    while (landed.size < atSwitch + 150 && problems.length === 0)
      await new Promise((resolve) => setTimeout(resolve, 10));
    stopping.abort();
    await Promise.all(writers);

    expect(problems).toEqual([]);
    const { log, database } = openLog();
    const events = await expectWhole(log, database);
    const contents = events.slice(480).map(({ data }) => Buffer.from(data).toString());
    expect(contents.sort()).toEqual([...landed.keys()].sort());
  }, 60_000);

  test('a call of the old append() that waits at the lock is told to come again, and then lands', async () => {
    await makeHistory();
    await migrateBefore(fresh.url, schema, '014');
    const client = new Client({ connectionString: fresh.url });
    await client.connect();
    closing.push(() => client.end());
    await client.query(`SET search_path TO ${schema}`);

    const append = someAppend('orders.order/late', 0, ['late'], someCommand());
    const lookup = { ...someAppend('orders.order/late', 0, []) };
    // Calls of which the server has the old code, with and without something to write.
    await formerAppend(former, [someAppend('orders.order/early', 0)]);
    await client.query('BEGIN');
    await client.query('LOCK TABLE head, streams IN ACCESS EXCLUSIVE MODE');
    const calls = [append, lookup].map((one) => formerAppend(former, [one]).catch((error) => error.code as string));
    for (let waiting = 0; waiting < 2; )
      waiting = (await client.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'head'::regclass")).rows
        .length;
    await client.query(await readFile(new URL('014_switch.sql', migrations.directory), 'utf8'));
    await client.query('COMMIT');
    expect(await Promise.all(calls)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    const [about] = await insistFormer(former, [append]);
    expect(about).toMatchObject({ verdict: 'batch', versions: [1] });
  });

  test('waits for locks only briefly: while a dump reads the log it fails, changes nothing, and appends go on', async () => {
    await makeHistory();
    await open().transaction(async (dump) => {
      await dump.query({ text: 'SELECT * FROM head' });
      const failing = upgrade(300);
      const slowest = { ms: 0 };
      const outcome = failing.then(
        () => 'done',
        (error: Error) => error.message,
      );
      let ended = false;
      void outcome.finally(() => (ended = true));
      while (!ended) {
        const began = performance.now();
        await formerAppend(former, [someAppend('orders.order/1', 'any')]);
        slowest.ms = Math.max(slowest.ms, performance.now() - began);
      }
      expect(await outcome).toContain('014_switch.sql was not applied');
      expect(slowest.ms).toBeLessThan(5_000);
    });
    expect(await upgrade()).toContain('eventlog/014_switch.sql');
    const { log, database } = openLog();
    await expectWhole(log, database);
  });

  test('a fill that was interrupted goes on where it was, beside appends', async () => {
    await makeHistory();
    await migrateBefore(fresh.url, schema, '013');
    await sql('SELECT fill_months(50), fill_months(50)');
    await formerAppend(former, [someAppend('orders.order/1', 'any'), someAppend('orders.order/new', 0)]);
    expect(await sql('SELECT position FROM filled')).toEqual([{ position: 100 }]);
    await upgrade();
    const { log, database } = openLog();
    expect(await expectWhole(log, database)).toHaveLength(482);
  });

  describe('its end', () => {
    beforeEach(async () => {
      await formerAppend(former, [someAppend('orders.order/1', 0, ['a'], someCommand())]);
      await upgrade();
    });
    const tables = async () =>
      (
        await sql(
          "SELECT relname FROM pg_class WHERE relname IN ('head', 'streams', 'commands', 'former_appends') ORDER BY 1",
        )
      ).map(({ relname }) => relname);

    test('comes seven days after the last append of the old version; commands are claims from then on', async () => {
      const { log, database } = openLog();
      const [old, both] = [timedCommand('old'), timedCommand('both')];
      await formerAppend(former, [someAppend('orders.order/2', 0, ['a'], old)]);
      await log.append(someAppend('orders.order/3', 0, ['a'], both));
      expect(await sql('SELECT FROM claims')).toEqual([]);
      await endUpgrade(database);
      await sql('UPDATE former_appends SET day = day - 6');
      await endUpgrade(database);
      expect(await tables()).toEqual(['commands', 'former_appends', 'head', 'streams']);
      // An append of the old version puts it off.
      await sql('UPDATE former_appends SET day = day - 2');
      await formerAppend(former, [someAppend('orders.order/2', 1, ['b'])]);
      await endUpgrade(database);
      expect(await tables()).toContain('head');
      expect(await isUpgradeEnded(database)).toBe(false);
      await sql('UPDATE former_appends SET day = day - 7');
      await endUpgrade(database);
      expect(await tables()).toEqual(['commands']);
      expect(await isUpgradeEnded(database)).toBe(true);

      await expect(formerAppend(former, [someAppend('orders.order/2', 2)])).rejects.toThrow('does not exist');
      for (const command of [old, both])
        expect(await log.append(someAppend('orders.order/9', 0, ['a'], command))).toMatchObject({ kind: 'duplicate' });
      const later = timedCommand('later');
      await log.append(someAppend('orders.order/4', 0, ['a'], later));
      expect(await log.append(someAppend('orders.order/4', 0, ['a'], later))).toMatchObject({
        kind: 'duplicate',
        version: 1,
      });
      expect(await sql('SELECT FROM claims')).toHaveLength(1);

      // Old commands are forgotten after 30 days, and the table goes with the last of them.
      await sql("UPDATE commands SET recorded_at = recorded_at - interval '31 days'");
      expect(await deleteOldCommands(database, { limit: 2 })).toBe(2);
      await endUpgrade(database);
      expect(await tables()).toEqual(['commands']);
      expect(await deleteOldCommands(database, { limit: 2 })).toBe(1);
      await endUpgrade(database);
      expect(await tables()).toEqual([]);
      expect(await log.append(someAppend('orders.order/4', 0, ['a'], later))).toMatchObject({ kind: 'duplicate' });
      expect(await log.append(someAppend('orders.order/5', 0, ['a'], old))).toMatchObject({ kind: 'appended' });
    });

    test('commands that are sent again while it comes are recognised', async () => {
      const [one, two] = [openLog(), openLog()];
      const commands = Array.from({ length: 40 }, (_, n) => timedCommand(`${n}`));
      await sql('UPDATE former_appends SET day = day - 10');
      const work = async ({ log }: { log: EventLog }) => {
        const results = [];
        for (const [n, command] of commands.entries())
          results.push(await log.append(someAppend(`orders.order/c${n}`, 'any', ['a'], command)));
        return results.map(({ kind }) => kind);
      };
      const [first, second] = await Promise.all([work(one), work(two), endUpgrade(one.database)]);
      for (const [n, kind] of first.entries()) expect([kind, second[n]].sort()).toEqual(['appended', 'duplicate']);
    });
  });

  test('a new log has nothing of the old version', async () => {
    const apart = await freshDatabase();
    await migrate({ url: apart.url, schema, sets: [migrations] });
    const database = openDatabase({ url: apart.url, schema, poolSize: 1 });
    const found = await database.query({
      text: `SELECT to_regclass(name) AS name FROM unnest('{head,streams,commands,former_appends,filled}'::text[]) AS name
        WHERE to_regclass(name) IS NOT NULL`,
    });
    expect(found).toEqual([]);
    await database.close();
    await apart.drop();
  });
});
