import type { LogReader } from '@caudal/eventlog/types.ts';
import { feedCheckpoint, lossesCheckpoint, startCheckpoint, sweepCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { migrations as messagingMigrations } from '@caudal/messaging/migrations.ts';
import { acquire, position } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readEnd, recordStarts, type Starting } from './start-positions.ts';

const entities = ['orders.order', 'payments.payment'];
const saga = (name: string, from?: 'start'): Starting => ({ name: `${name}.process`, entities, from });

const endAt = (position?: number) =>
  position === undefined ? undefined : { position, epoch: { number: 0, after: 0 } };

describeWith(['postgres'], 'where sagas begin', () => {
  let fresh: FreshDatabase;
  let database: Database;
  const heads = new Map([
    ['orders', 70],
    ['payments', 30],
  ]);
  const record = (...sagas: Starting[]) =>
    recordStarts({
      database,
      sagas,
      headOf: async (domain) => endAt(heads.get(domain)),
    });

  /** Where a saga begins, by domain; 0 is left out. */
  async function readStarts({ name }: Starting): Promise<Map<string, number>> {
    const starts = new Map<string, number>();
    for (const domain of ['orders', 'payments']) {
      const start = await position(database, startCheckpoint(name, domain));
      if (start > 0) starts.set(domain, start);
    }
    return starts;
  }

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [migrations, messagingMigrations] });
    database = openDatabase({ url: fresh.url, schema: 'orders' });
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });

  test('a new saga begins at the end of its logs, with its feed and its reconciliation, and once for all', async () => {
    await record(saga('fresh'));
    heads.set('orders', 80);
    await record(saga('fresh'));
    expect(await readStarts(saga('fresh'))).toEqual(
      new Map([
        ['orders', 70],
        ['payments', 30],
      ]),
    );
    for (const nameOf of [feedCheckpoint, sweepCheckpoint]) {
      expect(await position(database, nameOf('fresh.process', 'orders'))).toBe(70);
      expect(await position(database, nameOf('fresh.process', 'payments'))).toBe(30);
    }
  });

  test('a saga that has run goes on as before, and one that asks for it begins at the start', async () => {
    await acquire(database, { name: sweepCheckpoint('known.process', 'orders'), holder: 'a', ttlMs: 1_000 });
    await acquire(database, { name: feedCheckpoint('known.process', 'payments'), holder: 'a', ttlMs: 1_000 });
    await record(saga('known'), saga('eager', 'start'));
    expect(await readStarts(saga('known'))).toEqual(new Map());
    expect(await readStarts(saga('eager'))).toEqual(new Map());
    expect(await position(database, sweepCheckpoint('known.process', 'orders'))).toBe(0);
    // It is decided: a log that grows meanwhile changes nothing.
    const decided = await database.query({
      text: 'SELECT name FROM checkpoints WHERE name = $1',
      values: [startCheckpoint('eager.process', 'orders')],
    });
    expect(decided).toHaveLength(1);
  });

  test('in a new system sagas begin at the start, also those that start late', async () => {
    heads.set('orders', 0);
    heads.set('payments', 0);
    await record(saga('early'));
    heads.set('orders', 500);
    await record(saga('early'));
    expect(await readStarts(saga('early'))).toEqual(new Map());
  });

  test('what a log has lost before the saga began is not looked for', async () => {
    const headOf = async () => ({ position: 50, epoch: { number: 7, after: 20 } });
    await recordStarts({ database, sagas: [saga('late')], headOf });
    expect(await position(database, lossesCheckpoint('late.process', 'orders'))).toBe(7);
    expect(await position(database, startCheckpoint('late.process', 'orders'))).toBe(50);
    expect(await position(database, lossesCheckpoint('fresh.process', 'orders'))).toBe(0);
    // One that begins at the start sees only what the log has kept.
    await recordStarts({ database, sagas: [saga('reader', 'start')], headOf });
    expect(await position(database, lossesCheckpoint('reader.process', 'orders'))).toBe(7);
    expect(await readStarts(saga('reader'))).toEqual(new Map());
  });

  test('its beginning is of one epoch, also if the log loses its end meanwhile', async () => {
    let epochs: { number: number; after: number }[] = [];
    const heads = [90, 40];
    const readLog = async () => {
      if (heads.length === 2) epochs = [{ number: 3, after: 30 }];
      // Read before the loss was noticed, the first time.
      return { events: [], head: heads.shift()! };
    };
    const end = await readEnd({ readLog, epochs: () => epochs } as unknown as LogReader);
    expect(end).toEqual({ position: 40, epoch: { number: 3, after: 30 } });
  });

  test('the log of another deployment is left to a later call', async () => {
    heads.delete('payments');
    heads.set('orders', 9);
    await record(saga('split'));
    expect(await readStarts(saga('split'))).toEqual(new Map([['orders', 9]]));
    heads.set('payments', 40);
    await record(saga('split'));
    expect(await readStarts(saga('split'))).toEqual(
      new Map([
        ['orders', 9],
        ['payments', 40],
      ]),
    );
  });
});
