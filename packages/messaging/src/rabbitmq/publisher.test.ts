/** A publisher with a broker that refuses, does not answer, or is short of memory. */
import { EventEmitter } from 'node:events';
import { newId } from '@caudal/kernel/ids.ts';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { ConfirmChannel } from 'amqplib';
import type { Broker } from './connection.ts';
import type { OutgoingMessage } from './envelope.ts';
import type { PublishListener } from './publish-connection.ts';
import { openPublisher } from './publisher.ts';

type Confirm = (error: Error | null) => void;

/** A broker whose confirms are sent by the test. */
function fakeBroker() {
  const state = {
    opened: 0,
    closed: 0,
    blocked: false,
    /** Of the messages that were sent, in order. */
    confirms: [] as Confirm[],
    prepare: async () => {},
    /** The broker's answer to the farewell. */
    farewell: async () => {},
    lose: () => {},
  };
  const broker: Broker = {
    prefix: '',
    async publishConnection(_, listener?: PublishListener) {
      state.opened += 1;
      const channel = Object.assign(new EventEmitter(), {
        publish: (...message: unknown[]) => state.confirms.push(message[4] as Confirm) > 0,
      }) as unknown as ConfirmChannel;
      state.lose = () => {
        channel.emit('close');
        listener?.onEnd?.();
      };
      return {
        channel,
        blocked: () => state.blocked,
        async close() {
          state.closed += 1;
          await state.farewell();
          listener?.onEnd?.();
        },
      };
    },
    consumeConnection: () => ({ channel: () => Promise.reject(new Error('not used')), close: async () => {} }),
    sharedChannel: () => Promise.reject(new Error('not used')),
    close: async () => {},
  };
  const publisher = openPublisher({ broker, purpose: 'test', prepare: () => state.prepare() });
  /** Publishes, and waits until all is sent. */
  async function sent(messages: OutgoingMessage[], options?: { patienceMs?: number }) {
    const count = state.confirms.length + messages.length;
    const receiving = publisher.publish(messages, options);
    receiving.catch(() => {});
    await jest.advanceTimersByTimeAsync(0);
    expect(state.confirms).toHaveLength(count);
    return { receiving };
  }
  return { state, publisher, sent };
}

const messages = (count: number): OutgoingMessage[] =>
  Array.from({ length: count }, () => ({
    exchange: 'events.orders.v1',
    routingKey: 'orders.order.changed.v1',
    content: Buffer.alloc(1),
    options: { messageId: newId() },
  }));
const idsOf = (those: OutgoingMessage[]) => new Set(those.map(({ options }) => options.messageId));
const none = new Set();

describe('publishing', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('a nack is an answer: the batch ends at once, and the connection stays', async () => {
    const { state, sent } = fakeBroker();
    const batch = messages(3);
    const { receiving } = await sent(batch);
    state.confirms[0]!(null);
    state.confirms[1]!(new Error('message nacked'));
    state.confirms[2]!(null);
    expect(await receiving).toEqual({ returned: none, refused: idsOf(batch.slice(1, 2)), unanswered: none });
    expect(state).toMatchObject({ opened: 1, closed: 0 });
  });

  test('2 s without an answer end the connection, also for a batch behind; what is open is named', async () => {
    const { state, sent } = fakeBroker();
    const [first, second] = [messages(2), messages(1)];
    const one = await sent(first);
    const two = await sent(second);
    state.confirms[0]!(null);
    await jest.advanceTimersByTimeAsync(2_100);
    expect(await one.receiving).toEqual({ returned: none, refused: none, unanswered: idsOf(first.slice(1)) });
    expect(await two.receiving).toEqual({ returned: none, refused: none, unanswered: idsOf(second) });
    expect(state).toMatchObject({ opened: 1, closed: 1 });

    // A late confirm of the old connection is nobody's.
    const third = messages(1);
    const { receiving } = await sent(third);
    state.confirms[1]!(null);
    state.confirms[2]!(null);
    await jest.advanceTimersByTimeAsync(2_100);
    expect(await receiving).toEqual({ returned: none, refused: none, unanswered: idsOf(third) });
    expect(state.opened).toBe(2);
  });

  test('a broker that does not answer the farewell either holds up nobody', async () => {
    const { state, sent } = fakeBroker();
    const { promise: farewell, resolve: answer } = Promise.withResolvers<void>();
    state.farewell = () => farewell;
    const batch = messages(1);
    const { receiving } = await sent(batch);
    await jest.advanceTimersByTimeAsync(2_100);
    expect((await receiving).unanswered).toEqual(idsOf(batch));

    // The end of the old connection is not that of the next.
    const next = await sent(messages(1));
    expect(state.opened).toBe(2);
    answer();
    await jest.advanceTimersByTimeAsync(0);
    state.confirms[1]!(null);
    expect((await next.receiving).unanswered).toEqual(none);
  });

  test('each answer gives more time, but a batch takes no longer than 10 s', async () => {
    const { state, sent } = fakeBroker();
    const batch = messages(20);
    const { receiving } = await sent(batch);
    for (const confirm of state.confirms.slice(0, 9)) {
      await jest.advanceTimersByTimeAsync(1_000);
      confirm(null);
    }
    expect(state.closed).toBe(0);
    await jest.advanceTimersByTimeAsync(1_100);
    expect((await receiving).unanswered).toEqual(idsOf(batch.slice(9)));
  });

  test('time in which the broker is blocked does not count', async () => {
    const { state, sent } = fakeBroker();
    state.blocked = true;
    const { receiving } = await sent(messages(1));
    await jest.advanceTimersByTimeAsync(60_000);
    expect(state.closed).toBe(0);
    state.blocked = false;
    await jest.advanceTimersByTimeAsync(1_500);
    state.confirms[0]!(null);
    expect((await receiving).unanswered).toEqual(none);
  });

  test('a lost connection is UNAVAILABLE, and the next batch gets a new one', async () => {
    const { state, sent } = fakeBroker();
    const { receiving } = await sent(messages(2));
    state.lose();
    await expect(receiving).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const next = await sent(messages(1));
    state.confirms.at(-1)!(null);
    expect((await next.receiving).unanswered).toEqual(none);
    expect(state.opened).toBe(2);
  });

  test('one that is lost while nothing is sent is replaced', async () => {
    const { state, sent } = fakeBroker();
    const first = await sent(messages(1));
    state.confirms[0]!(null);
    await first.receiving;
    state.lose();
    const second = await sent(messages(1));
    state.confirms[1]!(null);
    await second.receiving;
    expect(state.opened).toBe(2);
  });

  test('a broker that does not answer a declaration does not hold up a caller for ever', async () => {
    const { state, publisher, sent } = fakeBroker();
    state.prepare = () => new Promise(() => {});
    const refused = expect(publisher.publish(messages(1))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(10_000);
    await refused;
    state.prepare = async () => {};
    const { receiving } = await sent(messages(1));
    state.confirms[0]!(null);
    await receiving;
    expect(state.opened).toBe(2);
  });
});
