/** A broker is set while traces wait in the table, as when one process grows to many. */
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { workQueueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { testBroker } from '@caudal/messaging/testing/rabbit.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openWorld, trace } from '../testing/world.ts';
import { startWorker } from '../worker.ts';
import { openQueue } from './open-queue.ts';
import { queueOfTraces } from './trace-queue-name.ts';

describeWith(['postgres', 'rabbitmq'], 'a queue that gets a broker', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  test('what waits in the table is written, and so is what others still put there', async () => {
    const world = await openWorld();
    closing.push(() => world.drop());
    const body = (minutes: number) => Trace.encode({ ...trace('grows', minutes), receiveTime: new Date() }).finish();
    await world.queue.put([body(1), body(2), body(3)]);

    const rabbit = testBroker();
    closing.push(() => rabbit.close());
    rabbit.owns([workQueueName(queueOfTraces)], []);
    const database = openDatabase({ url: world.url, schema: 'tracking', derived: true });
    closing.push(() => database.close());
    const queue = openQueue({ database, broker: rabbit.broker, maxTraces: 1_000 });
    const worker = startWorker({ queue, clock: systemClock, rate: 0, onChanges() {}, pollMs: 50 });
    closing.push(() => worker.stop());
    // A broker that is slow may refuse the first one.
    await until(() =>
      queue.put([body(4)]).then(
        () => true,
        () => false,
      ),
    );
    const count = async (text: string) => (await database.query<{ n: number }>({ text }))[0]!.n;
    const written = () => count('SELECT count(*)::int AS n FROM traces');
    await until(async () => (await written()) === 4);
    await world.queue.put([body(5)]);
    await until(async () => (await written()) === 5);
    expect(await count('SELECT count(*)::int AS n FROM trace_inbox')).toBe(0);
  });
});
