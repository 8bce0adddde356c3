import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { acquire, advance, position, release } from './checkpoint.ts';
import { type Database, openDatabase, type Transaction } from './database.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations.ts';

describeWith(['postgres'], 'checkpoint', () => {
  let fresh: FreshDatabase;
  let db: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [migrations] });
    db = openDatabase({ url: fresh.url, schema: 'orders' });
  });
  afterAll(async () => {
    await db.close();
    await fresh.drop();
  });

  const ttlMs = 60_000;
  const expire = (name: string) =>
    db.query({
      text: "UPDATE checkpoints SET lease_until = clock_timestamp() - interval '1 s' WHERE name = $1",
      values: [name],
    });

  test('one of many workers gets the lease and keeps its epoch; the others wait', async () => {
    const name = 'one';
    const holders = ['a', 'b', 'c', 'd'];
    const leases = await Promise.all(holders.map((holder) => acquire(db, { name, holder, ttlMs })));
    const winner = leases.findIndex((lease) => lease);
    expect(leases.filter((lease) => lease)).toEqual([{ epoch: 1, position: 0, logEpoch: 0, logEpochAfter: 0 }]);
    expect(await acquire(db, { name, holder: holders[winner]!, ttlMs })).toEqual({
      epoch: 1,
      position: 0,
      logEpoch: 0,
      logEpochAfter: 0,
    });
    expect(await acquire(db, { name, holder: 'e', ttlMs })).toBeUndefined();
  });

  test('an expired lease can be taken once; its old holder is refused and moves nothing', async () => {
    const name = 'expired';
    await acquire(db, { name, holder: 'a', ttlMs });
    expect(await advance(db, { name, epoch: 1, position: 10, ttlMs })).toBe(true);
    await expire(name);
    const leases = await Promise.all(['b', 'c'].map((holder) => acquire(db, { name, holder, ttlMs })));
    expect(leases.filter((lease) => lease)).toEqual([{ epoch: 2, position: 10, logEpoch: 0, logEpochAfter: 0 }]);
    expect(await advance(db, { name, epoch: 1, position: 20, ttlMs })).toBe(false);
    expect(await position(db, name)).toBe(10);
    await release(db, { name, epoch: 1 });
    expect(await acquire(db, { name, holder: 'd', ttlMs })).toBeUndefined();
  });

  test('a lease that was taken before the clock was set back is void', async () => {
    const name = 'set back';
    const outlast = (by: string) =>
      db.query({
        text: 'UPDATE checkpoints SET lease_until = clock_timestamp() + $2::interval WHERE name = $1',
        values: [name, by],
      });
    const short = 5_000;
    await acquire(db, { name, holder: 'dead', ttlMs: short });
    // Longer than this worker's own leases, but possible with another setting.
    await outlast('50 s');
    expect(await acquire(db, { name, holder: 'b', ttlMs: short })).toBeUndefined();
    await outlast('1 hour');
    expect(await acquire(db, { name, holder: 'b', ttlMs: short })).toEqual({
      epoch: 2,
      position: 0,
      logEpoch: 0,
      logEpochAfter: 0,
    });
    expect(await acquire(db, { name, holder: 'c', ttlMs: short })).toBeUndefined();
  });

  test('an expired lease that no other worker took is renewed by advance', async () => {
    const name = 'renewed';
    await acquire(db, { name, holder: 'a', ttlMs });
    await expire(name);
    expect(await advance(db, { name, epoch: 1, ttlMs })).toBe(true);
    expect(await acquire(db, { name, holder: 'b', ttlMs })).toBeUndefined();
  });

  test('the position never goes back', async () => {
    const name = 'forward';
    await acquire(db, { name, holder: 'a', ttlMs });
    await advance(db, { name, epoch: 1, position: 10, ttlMs });
    await advance(db, { name, epoch: 1, position: 5, ttlMs });
    await advance(db, { name, epoch: 1, ttlMs });
    expect(await position(db, name)).toBe(10);
    expect(await position(db, 'unknown')).toBe(0);
  });

  test('a released lease is free at once, in a new epoch, even for the same holder', async () => {
    const name = 'released';
    await acquire(db, { name, holder: 'a', ttlMs });
    await advance(db, { name, epoch: 1, position: 7, ttlMs });
    await release(db, { name, epoch: 1 });
    expect(await advance(db, { name, epoch: 1, position: 8, ttlMs })).toBe(false);
    expect(await acquire(db, { name, holder: 'a', ttlMs })).toEqual({
      epoch: 2,
      position: 7,
      logEpoch: 0,
      logEpochAfter: 0,
    });
  });

  test('with `derived`, a lease is on disk before it is returned; positions need not be', async () => {
    const derived = openDatabase({ url: fresh.url, schema: 'orders', derived: true });
    const waitsForDisk = (tx: Transaction) =>
      tx.query<{ on: string }>({ text: "SELECT current_setting('synchronous_commit') AS on" });
    await derived.transaction(async (tx) => {
      expect(await waitsForDisk(tx)).toEqual([{ on: 'off' }]);
      const lease = await acquire(tx, { name: 'derived', holder: 'a', ttlMs });
      expect(lease).toEqual({ epoch: 1, position: 0, logEpoch: 0, logEpochAfter: 0 });
      expect(await waitsForDisk(tx)).toEqual([{ on: 'on' }]);
    });
    await derived.transaction(async (tx) => {
      expect(await advance(tx, { name: 'derived', epoch: 1, position: 5, ttlMs })).toBe(true);
      expect(await waitsForDisk(tx)).toEqual([{ on: 'off' }]);
    });
    await derived.close();
  });
});
