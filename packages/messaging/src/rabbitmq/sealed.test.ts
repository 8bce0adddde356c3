/** Seals on a real RabbitMQ and PostgreSQL: what somebody with an account of the broker can do, and what the upgrade does. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { exchangeCheckpoint } from '../checkpoints.ts';
import { probe } from '../relay/probe.ts';
import { sendMissed } from '../relay/send-missed.ts';
import { type Flaw, openSealCheck } from '../seals/seal-check.ts';
import { openSealer, type Sealer } from '../seals/sealer.ts';
import { openUnsealed } from '../seals/unsealed.ts';
import { grow, testHandler, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import { newSealKey, sealKeySource } from '../testing/seal-keys.ts';
import { toMessages } from './envelope.ts';
import { openPublisher } from './publisher.ts';
import { partQueueName } from './topology.ts';

const entities = ['orders.order'];

describeWith(['postgres', 'rabbitmq'], 'sealed messages over RabbitMQ', () => {
  const { open } = ordersLogs();

  /** A log, a handler that believes the keys that are trusted, and a stranger with an account of the broker. */
  async function given() {
    const handled: RecordedEvent[] = [];
    const double = testHandler('order-list.v1', entities);
    const handler = {
      ...double,
      handle(events: RecordedEvent[]) {
        handled.push(...events);
        return double.handle.call(this, events);
      },
    };
    const orders = await open({ owns: [handler.name] });
    const { database, rabbit, log, logs } = orders;
    await orders.bind(handler);
    const queue = partQueueName(handler.name, 0, rabbit.prefix);
    const keys = sealKeySource();
    const flaws: Flaw[] = [];
    const consume = () => {
      const check = openSealCheck(keys.source);
      const seals = {
        async check(messages: Parameters<typeof check>[0]) {
          const found = await check(messages);
          flaws.push(...found.filter((flaw) => flaw !== undefined));
          return found;
        },
        readUnsealed: openUnsealed({ handler: handler.name, logs }),
      };
      orders.consume(handler, { queue: { seals } });
    };
    const relay = (sealer: Sealer | undefined) => orders.relay({ sealer });
    /** Puts events into the handler's queue, as whoever has an account can. */
    const put = async (events: RecordedEvent[], sealer?: Sealer) => {
      const publisher = openPublisher({ broker: rabbit.direct, purpose: 'stranger', prepare: async () => {} });
      const { returned, refused, unanswered } = await publisher.publish(toMessages(events, { queue }, sealer));
      expect(returned.size + refused.size + unanswered.size).toBe(0);
      await publisher.close();
    };
    const total = () => [...handler.applied.values()].reduce((sum, applied) => sum + applied.length, 0);
    const empty = () => until(async () => (await rabbit.ready(queue)) === 0);
    return { log, rabbit, database, queue, handler, handled, keys, flaws, consume, relay, put, total, empty };
  }

  const madeUp = (stream: string, version: number): RecordedEvent => ({
    eventId: '0190b4a0-0000-7000-8000-00000000dead',
    type: 'orders.order.confirmed.v1',
    schemaVersion: 1,
    data: Buffer.from('paid, honestly'),
    metadata: Buffer.alloc(0),
    position: 1_000_000,
    stream,
    version,
    recordedAt: new Date(),
  });

  test('what a relay has sealed is handled as it came', async () => {
    const { log, handler, handled, keys, flaws, consume, relay, total, empty } = await given();
    const key = newSealKey('relay.1');
    keys.trust(key, 'orders');
    consume();
    relay(openSealer(key));
    await Promise.all(versions(20).map((id) => grow(log, `orders.order/${id}`, 5)));
    await until(() => total() === 100);
    for (const applied of handler.applied.values()) expect(applied).toEqual(versions(5));
    await empty();
    expect(flaws).toEqual([]);
    const { events } = await log.readLog(0);
    expect(new Set(handled.map(({ eventId }) => eventId))).toEqual(new Set(events.map(({ eventId }) => eventId)));
  });

  test('what a stranger makes up changes nothing, whatever it is sealed with', async () => {
    const { log, handler, handled, keys, consume, relay, put, total, empty } = await given();
    const key = newSealKey('relay.1');
    keys.trust(key, 'orders');
    const ofPayments = newSealKey('relay.payments');
    keys.trust(ofPayments, 'payments');
    const stolen = await grow(log, 'orders.order/1', 2);
    consume();
    // The next version of a stream, a version that the log has, a stream that is not there, and one far ahead.
    const forged = [
      madeUp('orders.order/1', 3),
      madeUp('orders.order/1', 2),
      madeUp('orders.order/none', 1),
      madeUp('orders.order/1', 2_000_000),
      madeUp('orders.order/1', 2 ** 40),
      { ...stolen[1]!, data: Buffer.from('other') },
    ];
    for (const sealer of [
      undefined,
      openSealer(newSealKey('relay.1')),
      openSealer(newSealKey('unknown')),
      openSealer(ofPayments),
    ])
      await put(forged, sealer);
    // A true seal on another event's message.
    const seals = openSealer(key)(stolen);
    await put([madeUp('orders.order/1', 3)], ([event]) => new Map([[event!, seals.get(stolen[0]!)!]]));
    // What the messages name and the log has, it gives.
    await until(() => total() === 2);
    await empty();
    relay(openSealer(key));
    await grow(log, 'orders.order/1', 3);
    await until(() => total() === 5);
    await empty();
    expect(handler.applied).toEqual(new Map([['orders.order/1', versions(5)]]));
    const { events } = await log.readLog(0);
    const truth = new Map(events.map((event) => [event.eventId, Buffer.from(event.data).toString()]));
    for (const event of handled) expect(truth.get(event.eventId)).toBe(Buffer.from(event.data).toString());
  });

  test('a true message that is put in again is handled once', async () => {
    const { log, handler, keys, consume, put, total, empty } = await given();
    const key = newSealKey('relay.1');
    keys.trust(key, 'orders');
    const events = await grow(log, 'orders.order/1', 3);
    consume();
    for (let time = 0; time < 3; time++) await put(events, openSealer(key));
    await until(() => total() === 3);
    await empty();
    expect(handler.applied.get('orders.order/1')).toEqual([1, 2, 3]);
    expect([...handler.attempts.values()]).toEqual([1, 1, 1]);
  });

  test('what a queue has missed, probes, and events past an exchange are sealed too', async () => {
    const { log, rabbit, database, queue, handler, keys, flaws, consume, relay, total, empty } = await given();
    const key = newSealKey('relay.1');
    keys.trust(key, 'orders');
    const sealer = openSealer(key);
    const [first] = await grow(log, 'orders.order/1', 5);
    const { signal } = new AbortController();
    const { broker } = rabbit;
    expect(await probe({ broker, queue, event: first!, sealer, signal })).toBe('confirmed');
    const end = 5;
    const missed = { after: 1, end, onProgress: async () => {}, signal };
    expect(await sendMissed({ broker, log, sealer, queue, keys: ['#'], ...missed })).toBe(end);
    consume();
    await until(() => total() === 5);
    // The exchange was left at its beginning: the relay sends directly to the queue, and then what the exchange has missed.
    await database.query({
      text: 'INSERT INTO checkpoints (name, position) VALUES ($1, 0)',
      values: [exchangeCheckpoint],
    });
    await grow(log, 'orders.order/2', 5);
    relay(sealer);
    await until(() => total() === 10);
    await empty();
    expect(handler.applied.get('orders.order/2')).toEqual(versions(5));
    expect(flaws).toEqual([]);
  });

  test('a relay of a version without seals still brings its events, from the log', async () => {
    const { log, handler, flaws, consume, relay, total, empty } = await given();
    consume();
    relay(undefined);
    await Promise.all(versions(20).map((id) => grow(log, `orders.order/${id}`, 5)));
    await until(() => total() === 100);
    for (const applied of handler.applied.values()) expect(applied).toEqual(versions(5));
    await empty();
    expect(new Set(flaws)).toEqual(new Set(['none']));
  });

  test('a relay with a new key goes on, before and after the key is known', async () => {
    const { log, keys, consume, relay, total, empty } = await given();
    const [first, second] = [newSealKey('relay.1'), newSealKey('relay.2')];
    keys.trust(first, 'orders');
    consume();
    const before = relay(openSealer(first));
    await grow(log, 'orders.order/1', 3);
    await until(() => total() === 3);
    await before.stop();
    const after = relay(openSealer(second));
    await grow(log, 'orders.order/1', 3);
    await until(() => total() === 6);
    expect(keys.state.renewed).toBeGreaterThan(0);
    keys.trust(second, 'orders');
    keys.withdraw('relay.1');
    const asked = keys.state.renewed;
    await grow(log, 'orders.order/1', 3);
    await until(() => total() === 9);
    expect(keys.state.renewed).toBe(asked);
    await after.stop();
    await empty();
  });
});
