/** Stock of version 0.2 in a real log, and a rolling update: processes of 0.2 and of today on one product. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { checkLog } from '@caudal/aggregates/replay.ts';
import { stock } from '@caudal/contract/entities.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations } from '@caudal/eventlog/migrations.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { inventoryService } from './commands/inventory-service.ts';
import { stockDecider } from './domain/stock.ts';
import { createStockItem } from './domain/stock-item.ts';
import { formerStockDecider } from './testing/former-stock.ts';
import { decideFormerly, decideToday, type StockCommand } from './testing/stock-commands.ts';

const id = 'P1';
const shared = {
  ...{ id, reply: () => undefined, replyCodec: noReply },
  origin: { actor: 'test', causationId: '', correlationId: '', traceparent: '' },
};
type Run = (input: StockCommand) => Promise<unknown>;

describeWith(['postgres'], 'stock of version 0.2', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let log: ReturnType<typeof openEventLog>;
  const logs: (typeof log)[] = [];
  beforeEach(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'inventory', sets: [migrations] });
    database = openDatabase({ url: fresh.url, schema: 'inventory', poolSize: 4 });
    log = openEventLog({ database, domain: 'inventory' });
    logs.push(log);
  });
  afterEach(async () => {
    for (const one of logs.splice(0)) await one.stop();
    await database.close();
    await fresh.drop();
  });

  /** A process, with a client of the log of its own; `drain` waits for its snapshots. */
  function open() {
    const own = openEventLog({ database, domain: 'inventory' });
    logs.push(own);
    return openAggregates({ log: own, clock: systemClock, ids: newId });
  }
  function formerProcess() {
    const aggregates = open();
    const run: Run = (input) =>
      aggregates.execute({
        ...shared,
        decider: formerStockDecider,
        decide: (state, context) => decideFormerly(state, context, input),
      });
    return { run, drain: aggregates.drain };
  }
  function presentProcess() {
    const aggregates = open();
    const run: Run = (input) =>
      aggregates.execute({
        ...shared,
        decider: stockDecider,
        decide: (state, context) => decideToday(state, context, input),
      });
    const load = async () => (await aggregates.load(stockDecider, id)).state;
    return { run, load, drain: aggregates.drain };
  }

  async function create(): Promise<void> {
    await open().execute({
      ...shared,
      decider: formerStockDecider,
      decide: (state) =>
        createStockItem(state as never, { productId: id, kind: 'standard', policy: {}, quantity: 10_000n }),
    });
  }
  const about = (kind: 'reserve' | 'commit' | 'return', reservation: string) =>
    ({ kind, id: reservation, quantity: 2n }) as StockCommand;
  const release = (reservation: string): StockCommand => ({ kind: 'release', id: reservation, committed: undefined });
  const refused = (reason: string) => expect.objectContaining({ reason });

  /** A reservation that ends in each way, by one process. */
  async function endInAllWays(run: Run, name: string): Promise<void> {
    for (const way of ['committed', 'released', 'returned'])
      await run({ kind: 'reserve', id: `${name}-${way}`, quantity: 2n });
    await Promise.all([
      run(about('commit', `${name}-committed`)),
      run(release(`${name}-released`)),
      run(about('commit', `${name}-returned`)).then(() => run(about('return', `${name}-returned`))),
      run(release(`${name}-barred`)),
    ]);
  }
  /** What was done before is known, and is done no second time. */
  async function isKnown(run: Run, name: string): Promise<void> {
    await run(about('commit', `${name}-committed`));
    // 0.2 takes it for a repeat. Today it is another return, and nothing is left.
    await run(about('return', `${name}-returned`)).catch((error: unknown) =>
      expect(error).toEqual(refused('RETURN_TOO_LARGE')),
    );
    await run(release(`${name}-returned`));
    await run(release(`${name}-released`));
    await expect(run(about('reserve', `${name}-released`))).rejects.toEqual(refused('RESERVATION_ENDED'));
    await expect(run(about('reserve', `${name}-barred`))).rejects.toEqual(refused('RESERVATION_BARRED'));
    await expect(run(about('commit', `${name}-returned`))).rejects.toEqual(refused('RESERVATION_ENDED'));
  }

  test.each([
    ['from its snapshot', 250],
    ['from its events', 1],
  ])('is known after the upgrade, %s; a commit of then can be returned once', async (_, times) => {
    await create();
    const former = formerProcess();
    for (let n = 0; n < times; n++) {
      await former.run({ kind: 'reserve', id: `r${n}`, quantity: 1n });
      await former.run({ kind: 'commit', id: `r${n}`, quantity: 1n });
    }
    await endInAllWays(former.run, 'old');
    await former.drain();
    expect((await log.loadSnapshot(stock.stream(id)))?.schemaVersion).toBe(times > 100 ? 3 : undefined);

    const { run, load } = presentProcess();
    await isKnown(run, 'old');
    await run({ kind: 'commit', id: 'r0', quantity: 1n });
    const onHand = 10_000n - BigInt(times) - 2n;
    expect(await load()).toMatchObject({ onHand, reserved: 0n });
    await run(release('old-committed'));
    await run(release('old-committed'));
    expect(await load()).toMatchObject({ onHand: onHand + 2n, reserved: 0n });
    // Another process, which has seen nothing of it.
    await presentProcess().run(release('old-committed'));
    expect(await load()).toMatchObject({ onHand: onHand + 2n });
  });

  test('in a rolling update, each version knows what the other has done', async () => {
    await create();
    const processes = [formerProcess(), presentProcess(), formerProcess(), presentProcess()];
    await Promise.all(processes.map(({ run }, n) => endInAllWays(run, `by-${n}`)));
    for (const { run } of processes) for (const n of processes.keys()) await isKnown(run, `by-${n}`);
    // Everything is returned, by all at the same time, once.
    const releases = processes.flatMap(({ run }) =>
      [...processes.keys()].map((n) => run(release(`by-${n}-committed`))),
    );
    await Promise.all(releases.map((done) => done.catch(ignoreContention)));
    for (const n of processes.keys()) await processes[1]!.run(release(`by-${n}-committed`));
    expect(await presentProcess().load()).toMatchObject({ onHand: 10_000n, reserved: 0n });
    await Promise.all(processes.map(({ drain }) => drain()));
    const report = await checkLog({ database, log, deciders: [stockDecider] });
    expect(report).toMatchObject({ wrong: 0 });
  });

  test('in a rolling update, the lines of an order are done by units of today and by commands of 0.2', async () => {
    for (const productId of ['A', 'B'])
      await open().execute({
        ...{ ...shared, id: productId, decider: stockDecider },
        decide: (state) => createStockItem(state, { productId, kind: 'standard', policy: {}, quantity: 1_000n }),
      });
    const lines = ['A', 'B'].map((productId) => ({ productId, quantity: 2n }));
    const aggregates = [open(), open(), open(), open()];
    const present = aggregates.slice(0, 2).map((one) => {
      const { handlers } = inventoryService({ aggregates: one, clock: systemClock });
      return handlers as unknown as Handlers<InventoryServiceService>;
    });
    /** A line after the other, as 0.2 did, or only the first. */
    const former = aggregates.slice(2).map((one) => async (input: StockCommand, count = 2) => {
      for (const { productId } of lines.slice(0, count))
        await one.execute({
          ...{ ...shared, id: productId, decider: formerStockDecider },
          decide: (state, context) => decideFormerly(state, context, input),
        });
    });
    const request = (reservationId: string) => ({ requestId: '', reservationId, lines });
    const reserving = (reservationId: string) => ({ ...request(reservationId), ttl: undefined, attributes: {} });
    const orders = Array.from({ length: 60 }, (_, n) => async () => {
      const reservationId = `order-${n}`;
      const [here, there] = [present[n % 2]!, former[n % 2]!];
      if (n % 3 === 0) await here.reserveStock(reserving(reservationId), testCall());
      // It breaks off after a line. Every fourth time nobody finishes it, and the order is cancelled.
      else await there(about('reserve', reservationId), (n % 2) + 1);
      if (n % 4 === 0)
        return here.releaseReservation({ ...request(reservationId), reason: '', committed: false }, testCall());
      await here.reserveStock(reserving(reservationId), testCall());
      if (n % 5 === 0) await there(about('commit', reservationId), 1);
      return here.commitReservation(request(reservationId), testCall());
    });
    await Promise.all(orders.map((run) => retryingContention(run)));
    const sold = orders.filter((_, n) => n % 4 !== 0).length;
    for (const id of ['A', 'B'])
      expect((await open().load(stockDecider, id)).state).toMatchObject({
        ...{ onHand: 1_000n - 2n * BigInt(sold), reserved: 0n, open: { size: 0 } },
      });
    await Promise.all(aggregates.map(({ drain }) => drain()));
    expect(await checkLog({ database, log, deciders: [stockDecider] })).toMatchObject({ wrong: 0 });
  });

  async function retryingContention(run: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await run();
        return;
      } catch (error) {
        ignoreContention(error);
      }
    }
  }

  function ignoreContention(error: unknown): void {
    if (!(error instanceof CaudalError && error.code === 'ABORTED')) throw error;
  }

  test('a product that has sold much keeps a small state and snapshot, and its reservations are in the claims', async () => {
    await create();
    const { run, drain, load } = presentProcess();
    const ids = Array.from({ length: 900 }, newId);
    for (let n = 0; n < ids.length; n += 100)
      await Promise.all(
        ids
          .slice(n, n + 100)
          .map((one) => run({ kind: 'reserve', id: one, quantity: 1n }).then(() => run(about1('commit', one)))),
      );
    await drain();
    const snapshot = (await log.loadSnapshot(stock.stream(id)))!;
    expect(snapshot.data.length).toBeLessThan(64 * 1024);
    expect(await load()).toMatchObject({ onHand: 9_100n, reserved: 0n, open: { size: 0 } });
    const [row] = await database.query<{ count: number }>({ text: 'SELECT count(*)::int AS count FROM claims' });
    expect(row!.count).toBe(900);
    const restarted = presentProcess();
    await restarted.run(about1('commit', ids[0]!));
    await restarted.run(release(ids[0]!));
    expect(await restarted.load()).toMatchObject({ onHand: 9_101n });
  });

  const about1 = (kind: 'commit', reservation: string): StockCommand => ({ kind, id: reservation, quantity: 1n });
});
