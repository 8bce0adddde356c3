/** The queue of traces in RabbitMQ: a batch is bounded in traces, however many its messages have. */
import { workQueueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { testBroker } from '@caudal/messaging/testing/rabbit.ts';
import { refusalOf } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openWorld } from '../testing/world.ts';
import { openRabbitQueue } from './rabbit-queue.ts';
import { queueOfTraces } from './trace-queue-name.ts';
import type { TraceQueue } from './types.ts';

const bodies = (count: number) => Array.from({ length: count }, () => Buffer.from('trace'));

/** A broker that is slow may refuse the first message of a channel, for it has not learnt in time whether the queue is full. */
const firstPut = (queue: TraceQueue) =>
  until(() =>
    queue.put(bodies(1), { patient: true }).then(
      () => true,
      () => false,
    ),
  );

describeWith(['postgres', 'rabbitmq'], 'the queue in RabbitMQ', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  test('callers that can wait leave room to those that can’t', async () => {
    const rabbit = testBroker();
    closing.push(() => rabbit.close());
    rabbit.owns([workQueueName(queueOfTraces)], []);
    const world = await openWorld();
    closing.push(() => world.drop());
    const queue = openRabbitQueue({ broker: rabbit.broker, database: world.database, maxMessages: 16 });
    await firstPut(queue);
    for (let n = 1; n < 14; n++) await queue.put(bodies(1), { patient: true });
    // The broker says a little later how many there are.
    await until(async () => (await rabbit.ready(workQueueName(queueOfTraces, rabbit.prefix))) === 14);
    const refused = await refusalOf(queue.put(bodies(1), { patient: true }));
    expect(refused).toEqual({ code: 'RESOURCE_EXHAUSTED', reason: 'TRACE_QUEUE_FULL' });
    await queue.put(bodies(1));
    expect(queue.accepted()).toBe(15);
  });

  test('after messages of one trace, a batch is not as many messages of a thousand', async () => {
    const rabbit = testBroker();
    closing.push(() => rabbit.close());
    rabbit.owns([workQueueName(queueOfTraces)], []);
    const world = await openWorld({ broker: rabbit.broker });
    closing.push(() => world.drop());
    const { queue } = world;
    const lane = queue.lane({ pollMs: 10 });
    closing.push(() => lane.stop());
    const { signal } = new AbortController();
    await firstPut(queue);
    const write = async () => {
      for (let n = 0; n < 8; n++) await queue.put(bodies(1_000));
      // All that a worker holds at a time is there before the next batch.
      await until(async () => (await rabbit.ready(workQueueName(queueOfTraces, rabbit.prefix))) <= 1);
    };
    expect(await lane.take(2_000, write, signal)).toBe(1);
    const taken: number[] = [];
    const tooMany = async (_: unknown, all: Uint8Array[]) => {
      if (all.length > 1_000) throw new Error('too many');
    };
    await expect(lane.take(2_000, tooMany, signal)).rejects.toThrow('too many');
    while (taken.length < 8) taken.push(await lane.take(1_000, tooMany, signal));
    expect(taken).toEqual(Array(8).fill(1_000));
  });
});
