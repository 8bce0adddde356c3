/** Ownership in a real table; two or three processes are as many sets of owners over one database. */
import { ForwardToOwner } from '@caudal/kernel/forward.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { type AnyDecider, type Entry, newEntry } from './entry.ts';
import { migrations } from './migrations.ts';
import { type Owners, openOwners } from './owners.ts';
import { purse } from './testing/purse.ts';

const decider = purse as unknown as AnyDecider;

describeWith(['postgres'], 'owners', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let now: number;
  const opened: Owners[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'test', sets: [migrations] });
    database = openDatabase({ url: fresh.url, schema: 'test', poolSize: 4 });
  });
  beforeEach(() => {
    now = 0;
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((owners) => owners.retire()));
    await database.query({ text: 'DELETE FROM stream_owners' });
  });
  afterAll(async () => {
    await database?.close();
    await fresh?.drop();
  });

  /** A process. */
  function start(instance: string, contract = 'v1'): Owners {
    const self = { address: `${instance}:9090`, instance, contract };
    const owners = openOwners({ database, ...self, elapsed: () => now });
    opened.push(owners);
    return owners;
  }

  const entryOf = (stream = 'test.purse/a'): Entry => newEntry(stream, decider);
  const rows = () => database.query<{ stream: string; instance: string }>({ text: 'SELECT * FROM stream_owners' });
  const instances = async () => (await rows()).map(({ instance }) => instance);

  /** Where a command is decided: `here`, `sought`, or at an instance. */
  function sent(owners: Owners, entry: Entry, again = () => {}): string {
    const owner = owners.ownerOf(entry, again);
    return owner instanceof ForwardToOwner ? owner.route.instance : (owner ?? 'here');
  }

  const routeOf = (owners: Owners, entry: Entry) => (owners.ownerOf(entry, () => {}) as ForwardToOwner).route;

  test('the first process that loses races owns the stream; the next one forwards to it', async () => {
    const [a, b] = [start('a'), start('b')];
    const [entry, other] = [entryOf(), entryOf()];
    expect(sent(a, entry)).toBe('here');
    expect(await a.contended(entry)).toBe(false);
    expect(a.ownedMs(entry.stream)).toBeGreaterThan(0);
    expect(await b.contended(other)).toBe(true);
    expect([sent(a, entry), sent(b, other), b.ownedMs(entry.stream)]).toEqual(['here', 'a', 0]);
    expect(sent(b, entryOf('test.purse/quiet'))).toBe('here');
  });

  test('processes that claim at the same moment agree on one', async () => {
    const all = ['a', 'b', 'c', 'd'].map((name) => start(name));
    await Promise.all(all.map((owners) => owners.contended(entryOf())));
    expect(all.filter((owners) => owners.ownedMs('test.purse/a') > 0)).toHaveLength(1);
    expect(await rows()).toHaveLength(1);
  });

  test('a route ends with its time, unless answers extend it; then the state is looked for in a snapshot', async () => {
    const [a, b] = [start('a'), start('b')];
    await a.contended(entryOf());
    const entry = entryOf();
    await b.contended(entry);
    const route = routeOf(b, entry);
    now += 14_000;
    route.answered(15_000);
    now += 14_000;
    expect(sent(b, entry)).toBe('a');
    expect(entry.stale).toBe(false);
    route.answered(0);
    expect(sent(b, entry)).toBe('here');
    expect(entry.stale).toBe(true);
  });

  test('an owner that is gone is replaced at once: one of the others takes over, the rest follows', async () => {
    const [a, b, c] = [start('a'), start('b'), start('c')];
    await a.contended(entryOf());
    const [atB, atC] = [entryOf(), entryOf()];
    await b.contended(atB);
    await c.contended(atC);
    const [fromB, fromC] = [routeOf(b, atB), routeOf(c, atC)];
    const lost = Promise.all([fromB.lost('gone'), fromC.lost('gone')]);
    let again = 0;
    expect(sent(b, atB, () => again++)).toBe('sought');
    await lost;
    expect(again).toBe(1);
    const [heir] = await instances();
    expect(['b', 'c']).toContain(heir);
    expect(sent(b, atB)).toBe(heir === 'b' ? 'here' : 'c');
    expect(sent(c, atC)).toBe(heir === 'c' ? 'here' : 'b');
    // Calls that were lost later find the next owner known.
    await fromB.lost('gone');
    expect(await instances()).toEqual([heir]);
  });

  test('of two processes that take over while the row is locked, the second finds the first', async () => {
    const [a, b, c] = [start('a'), start('b'), start('c')];
    await a.contended(entryOf());
    const [atB, atC] = [entryOf(), entryOf()];
    await Promise.all([b.contended(atB), c.contended(atC)]);
    const [fromB, fromC] = [routeOf(b, atB), routeOf(c, atC)];
    const holder = openDatabase({ url: fresh.url, schema: 'test', poolSize: 1 });
    // Both statements begin before either has changed the row.
    const lost = await holder.transaction(async (tx) => {
      await tx.query({ text: 'SELECT * FROM stream_owners FOR UPDATE' });
      const both = Promise.all([fromB.lost('gone'), fromC.lost('gone')]);
      await until(async () => {
        const text = `SELECT count(*)::int AS waiting FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        return (await database.query<{ waiting: number }>({ text }))[0]?.waiting === 2;
      });
      return { both };
    });
    await lost.both;
    await holder.close();
    const [heir] = await instances();
    expect([sent(b, atB), sent(c, atC)]).toEqual(heir === 'b' ? ['here', 'b'] : ['c', 'here']);
  });

  test('a former owner that was thought gone stops owning at its next renewal', async () => {
    const [a, b] = [start('a'), start('b')];
    await a.contended(entryOf());
    const entry = entryOf();
    await b.contended(entry);
    await routeOf(b, entry).lost('gone');
    expect(a.ownedMs(entry.stream)).toBeGreaterThan(0);
    await until(() => a.ownedMs(entry.stream) === 0);
    expect(b.ownedMs(entry.stream)).toBeGreaterThan(0);
  });

  test('a process that takes no calls is left alone for ten seconds', async () => {
    const [a, b] = [start('a'), start('b')];
    await a.contended(entryOf());
    const entry = entryOf();
    await b.contended(entry);
    routeOf(b, entry).refused();
    expect(sent(b, entry)).toBe('here');
    now += 6_000;
    await b.contended(entry);
    expect(sent(b, entry)).toBe('here');
    expect(await instances()).toEqual(['a']);
    now += 6_000;
    await b.contended(entry);
    expect(sent(b, entry)).toBe('a');
  });

  test('no call is forwarded to another version, which keeps what it owns', async () => {
    const [a, b] = [start('a'), start('b', 'v2')];
    await a.contended(entryOf());
    const entry = entryOf();
    expect(await b.contended(entry)).toBe(false);
    expect([sent(b, entry), await instances()]).toEqual(['here', ['a']]);
  });

  test('ownership ends once nothing is forwarded, or no two commands wait at the same time', async () => {
    const a = start('a');
    for (const stream of ['test.purse/unused', 'test.purse/lonely', 'test.purse/hot'])
      await a.contended(entryOf(stream));
    now += 4_000;
    for (const stream of ['test.purse/hot', 'test.purse/unused']) {
      const crowded = entryOf(stream);
      for (let n = 0; n < 2; n++) crowded.waiting.add({ command: {} } as never);
      expect(sent(a, crowded)).toBe('here');
    }
    for (const stream of ['test.purse/lonely', 'test.purse/hot']) a.ownedMs(stream);
    now += 2_000;
    await until(async () => (await rows()).length === 1);
    expect((await rows()).map(({ stream }) => stream)).toEqual(['test.purse/hot']);
    expect(a.ownedMs('test.purse/lonely')).toBe(0);
  });

  test('a process that ends gives up what it owns, and claims nothing more', async () => {
    const a = start('a');
    await a.contended(entryOf());
    await a.retire();
    expect(await rows()).toEqual([]);
    now += 10_000;
    await a.contended(entryOf());
    expect([await rows(), a.ownedMs('test.purse/a')]).toEqual([[], 0]);
  });

  test('a process owns 16 streams at most, and still finds the owners of others', async () => {
    const [a, b] = [start('a'), start('b')];
    await b.contended(entryOf('test.purse/b'));
    for (let n = 0; n < 20; n++) await a.contended(entryOf(`test.purse/${n}`));
    expect((await instances()).filter((instance) => instance === 'a')).toHaveLength(16);
    const entry = entryOf('test.purse/b');
    expect(await a.contended(entry)).toBe(true);
    expect(sent(a, entry)).toBe('b');
  });

  test('a row that a crash has left ends by itself, also if the clock was set back; it is deleted after a while', async () => {
    const insert = (stream: string, left: string) =>
      database.query({
        text: `INSERT INTO stream_owners VALUES ($1, 'dead', 'dead:9090', 'v1', clock_timestamp() + $2::interval)`,
        values: [stream, left],
      });
    await insert('test.purse/ended', '-1 second');
    await insert('test.purse/future', '1 hour');
    await insert('test.purse/old', '-2 minutes');
    const a = start('a');
    for (const stream of ['test.purse/ended', 'test.purse/future']) {
      await a.contended(entryOf(stream));
      expect(a.ownedMs(stream)).toBeGreaterThan(0);
    }
    await until(async () => (await rows()).length === 2);
    expect(await instances()).toEqual(['a', 'a']);
  });
});

test('without PostgreSQL there is no owner, and nothing fails', async () => {
  const database = openDatabase({
    url: 'postgres://nobody@127.0.0.1:9/none',
    schema: 'test',
    poolSize: 1,
    connectTimeoutMs: 200,
  });
  const owners = openOwners({ database, address: 'a:9090', instance: 'a', contract: 'v1' });
  const entry = newEntry('test.purse/a', decider);
  expect(await owners.contended(entry)).toBe(false);
  expect(owners.ownedMs(entry.stream)).toBe(0);
  await owners.retire();
  await database.close();
});
