/** The metric of the alert: how many streams are parked, reported by every process that runs the handler. */

import { acquire } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { startTelemetry, type Telemetry } from '@caudal/telemetry/start.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { deleteHandlerState } from '../delete-handler-state.ts';
import { migrations } from '../migrations.ts';
import { runSubscription } from '../subscription/subscription.ts';
import { collect, scriptedFeed, testHandler } from '../testing/doubles.ts';
import { park } from './parked.ts';
import { listDeadLetters } from './redrive.ts';

describeWith(['postgres'], 'parked streams', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let telemetry: Telemetry;

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [postgresMigrations, migrations] });
    database = openDatabase({ url: fresh.url, schema: 'views' });
    const prometheus = { host: '127.0.0.1', port: 0 };
    telemetry = await startTelemetry({ serviceName: 'test', serviceVersion: '0', role: 'test', prometheus });
  });
  afterAll(async () => {
    await telemetry.stop();
    await database.close();
    await fresh.drop();
  });

  const parkOne = (handler: string, id: number) => {
    const failure = { version: 1, eventType: 'orders.order.changed.v1', error: 'bad', attempts: 4, lastVersion: 1 };
    return park(database, { handler, stream: `orders.order/${id}`, ...failure });
  };
  const measured = async (handler: string) => {
    const text = await (await fetch(`http://127.0.0.1:${telemetry.prometheusPort}/metrics`)).text();
    return text.split('\n').find((line) => line.startsWith('parked_streams{') && line.includes(`"${handler}"`));
  };

  test('are measured without reconciliation too, and no longer when the handler ends', async () => {
    const handler = testHandler('measured.v1', ['orders.order']);
    for (const id of [1, 2]) await parkOne(handler.name, id);
    const logs = new Map([['orders', memoryLog({ domain: 'orders' })]]);
    const running = runSubscription({ handler, feed: scriptedFeed(), logs, database, reconciliation: false });
    await until(async () => /} 2$/.test((await measured(handler.name)) ?? ''));
    await running.stop();
    expect(await measured(handler.name)).toMatch(/} 0$/);
  });

  test('of a deleted handler are removed, with its checkpoints, and those of no other handler', async () => {
    for (const handler of ['gone.v1.1', 'gone.v1.11']) {
      await parkOne(handler, 1);
      for (const name of [`feed:${handler}:orders`, `sweep:${handler}:orders`])
        await acquire(database, { name, holder: 'test', ttlMs: 1 });
    }
    await deleteHandlerState(database, 'gone.v1.1');
    await deleteHandlerState(database, 'gone.v1.1');
    const rest = await collect(listDeadLetters(database));
    expect(rest.filter(({ handler }) => handler.startsWith('gone'))).toMatchObject([{ handler: 'gone.v1.11' }]);
    const names = await database.query({ text: "SELECT name FROM checkpoints WHERE name LIKE '%gone%' ORDER BY name" });
    expect(names).toEqual([{ name: 'feed:gone.v1.11:orders' }, { name: 'sweep:gone.v1.11:orders' }]);
  });
});
