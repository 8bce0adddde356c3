import { refusalOf } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { testBroker } from '../testing/rabbit.ts';
import { askManagement } from './management.ts';
import { workQueueName } from './topology.ts';
import { openWorkQueue, type WorkMessage } from './work-queue.ts';

const textsOf = (messages: WorkMessage[]) => messages.map(({ content }) => content.toString());

describeWith(['rabbitmq'], 'a queue of work', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  function open(maxMessages = 100) {
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    rabbit.owns([workQueueName('test')], []);
    const { broker } = rabbit;
    const queue = openWorkQueue({ broker, name: 'test', maxMessages });
    return { rabbit, queue, ready: () => rabbit.ready(workQueueName('test', rabbit.prefix)) };
  }

  test('gives what was confirmed, again until the work is done, and to another consumer if the first is gone', async () => {
    const { queue, ready } = open();
    const { signal } = new AbortController();
    await Promise.all(['a', 'b', 'c'].map((text) => queue.publish(Buffer.from(text))));
    const first = queue.consume({ prefetch: 1 });
    const seen: string[][] = [];
    const fail = async (messages: WorkMessage[]) => {
      seen.push(textsOf(messages));
      throw new Error('not now');
    };
    for (let attempt = 0; attempt < 2; attempt++) await expect(first.take(10, fail, signal)).rejects.toThrow('not now');
    expect(seen).toEqual([['a'], ['a']]);
    await first.stop();
    const second = queue.consume({ prefetch: 10 });
    const done: string[] = [];
    while (done.length < 3) await second.take(10, async (messages) => void done.push(...textsOf(messages)), signal);
    expect(done.toSorted()).toEqual(['a', 'b', 'c']);
    await second.stop();
    expect(await ready()).toBe(0);
  });

  test('a batch is bounded in what its messages weigh, and one that fails is given again in smaller ones', async () => {
    const { queue, ready } = open();
    const { signal } = new AbortController();
    const weights = [1, 900, 900, 900, 5_000, 900];
    for (const weight of weights) await queue.publish(Buffer.from(String(weight)));
    const consumer = queue.consume({ prefetch: 10, weigh: (content) => Number(content) });
    await until(async () => (await ready()) === 0);
    const seen: string[] = [];
    let most = 1_000;
    const work = async (messages: WorkMessage[]) => {
      const texts = textsOf(messages);
      seen.push(texts.join('+'));
      if (texts.length > 1 && texts.map(Number).reduce((sum, each) => sum + each) > most) throw new Error('too much');
    };
    await expect(consumer.take(2_000, work, signal)).rejects.toThrow('too much');
    expect(await consumer.take(1_000, work, signal)).toBe(2);
    most = 2_000;
    for (const count of [2, 1, 1]) expect(await consumer.take(2_000, work, signal)).toBe(count);
    expect(seen).toEqual(['1+900+900', '1+900', '900+900', '5000', '900']);
    await consumer.stop();
    expect(await ready()).toBe(0);
  });

  test('keeps a message however often its consumer dies, whether there is a policy or not', async () => {
    const { rabbit, queue } = open();
    const { signal } = new AbortController();
    await queue.publish(Buffer.from('a'));
    const management = process.env.RABBITMQ_MANAGEMENT_URL;
    if (management) {
      const { text } = await askManagement({ managementUrl: management }, [
        'queues',
        workQueueName('test', rabbit.prefix),
      ]);
      expect(JSON.parse(text)).toMatchObject({ arguments: { 'x-delivery-limit': 1_000_000_000 } });
    }
    // RabbitMQ 4 drops it after 20, if nothing says otherwise.
    for (let death = 0; death < 25; death++) {
      const consumer = queue.consume({ prefetch: 1 });
      const dying = async () => Promise.reject(new Error('dies'));
      await expect(consumer.take(1, dying, signal)).rejects.toThrow('dies');
      await consumer.stop();
    }
    const consumer = queue.consume({ prefetch: 1 });
    expect(await consumer.take(1, async () => {}, signal)).toBe(1);
    await consumer.stop();
  });

  test('works on a queue that the version before has made', async () => {
    const { rabbit, queue } = open();
    const channel = await rabbit.direct.sharedChannel();
    await channel.assertQueue(workQueueName('test', rabbit.prefix), {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 100, 'x-overflow': 'reject-publish' },
    });
    await channel.close();
    await queue.publish(Buffer.from('a'));
    const consumer = queue.consume({ prefetch: 1 });
    expect(await consumer.take(1, async () => {}, new AbortController().signal)).toBe(1);
    await consumer.stop();
  });

  test('refuses messages when it is full, and keeps those that it has', async () => {
    const { queue, ready } = open(2);
    // A quorum queue learns its length a little later, so it may take some more than its bound.
    let refused: Awaited<ReturnType<typeof refusalOf>> | undefined;
    let confirmed = 0;
    await until(async () => {
      await queue.publish(Buffer.from('x')).then(
        () => confirmed++,
        async (error: unknown) => {
          refused = await refusalOf(Promise.reject(error));
        },
      );
      return refused !== undefined;
    });
    expect(refused).toEqual({ code: 'RESOURCE_EXHAUSTED', reason: 'WORK_QUEUE_FULL' });
    expect(confirmed).toBeGreaterThanOrEqual(2);
    await until(async () => (await ready()) >= confirmed);
  });

  test('a message is not confirmed if the queue was deleted, and the next one finds it again', async () => {
    const { rabbit, queue, ready } = open();
    await queue.publish(Buffer.from('a'));
    const channel = await rabbit.direct.sharedChannel();
    await channel.deleteQueue(workQueueName('test', rabbit.prefix));
    await channel.close();
    expect(await refusalOf(queue.publish(Buffer.from('b')))).toMatchObject({ code: 'UNAVAILABLE' });
    await until(() =>
      queue.publish(Buffer.from('c')).then(
        () => true,
        () => false,
      ),
    );
    await until(async () => (await ready()) === 1);
  });

  test('a consumer that waits ends with its signal', async () => {
    const { queue } = open();
    const ending = new AbortController();
    const consumer = queue.consume({ prefetch: 1 });
    const taking = consumer.take(1, async () => {}, ending.signal);
    ending.abort();
    expect(await taking).toBe(0);
    await consumer.stop();
  });
});
