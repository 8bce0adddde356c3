/** A publisher with a broker that refuses, does not answer, or is short of memory. */
import { EventEmitter } from 'node:events';
import { newId } from '@caudal/kernel/ids.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { ConfirmChannel } from 'amqplib';
import type { Broker } from './connection.ts';
import type { OutgoingMessage } from './envelope.ts';
import { openPublisher } from './publisher.ts';

type Confirm = (error: Error | null) => void;

/** A broker whose confirms are sent by the test. */
function fakeBroker() {
  const state = {
    channels: 0,
    closed: 0,
    blocked: false,
    /** Of the messages that are sent and not confirmed. */
    confirms: [] as Confirm[],
    prepare: async () => {},
  };
  const open = async () => {
    state.channels += 1;
    const channel = Object.assign(new EventEmitter(), {
      publish: (...message: unknown[]) => state.confirms.push(message[4] as Confirm) > 0,
      async close() {
        state.closed += 1;
      },
    });
    return channel as unknown as ConfirmChannel;
  };
  const broker: Broker = {
    prefix: '',
    publishChannel: open,
    consumeChannel: open,
    blocked: () => state.blocked,
    close: async () => {},
  };
  const publisher = openPublisher({ broker, prepare: () => state.prepare(), confirmTimeoutMs: 1_000 });
  /** Confirms each message as soon as it is sent. */
  const confirmAll = async () => {
    for (let round = 0; round < 20 && state.confirms.length === 0; round++) await Promise.resolve();
    for (const confirm of state.confirms.splice(0)) confirm(null);
  };
  return { state, publisher, confirmAll };
}

const messages = (count: number): OutgoingMessage[] =>
  Array.from({ length: count }, () => ({
    exchange: 'events.orders.v1',
    routingKey: 'orders.order.changed.v1',
    content: Buffer.alloc(1),
    options: { messageId: newId() },
  }));

describe('publishing', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  test('a message that the broker refuses fails its batch, and ends the channel', async () => {
    const { state, publisher, confirmAll } = fakeBroker();
    const first = publisher.publish(messages(2));
    const refused = expect(first).rejects.toMatchObject({ code: 'UNAVAILABLE', cause: new Error('nacked') });
    for (let round = 0; round < 20 && state.confirms.length < 2; round++) await Promise.resolve();
    state.confirms[0]!(null);
    state.confirms[1]!(new Error('nacked'));
    await refused;
    state.confirms = [];
    expect(state).toMatchObject({ channels: 1, closed: 1 });
    const second = publisher.publish(messages(1));
    await confirmAll();
    expect(await second).toEqual(new Set());
    expect(state.channels).toBe(2);
  });

  test('a batch that is not confirmed in time fails, but not while the broker is blocked', async () => {
    jest.useFakeTimers();
    const { state, publisher, confirmAll } = fakeBroker();
    state.blocked = true;
    const patient = publisher.publish(messages(1));
    await jest.advanceTimersByTimeAsync(10_000);
    await confirmAll();
    await patient;
    expect(state).toMatchObject({ channels: 1, closed: 0 });

    const waiting = publisher.publish(messages(1));
    const late = expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(5_000);
    expect(state.closed).toBe(0);
    state.blocked = false;
    await jest.advanceTimersByTimeAsync(1_000);
    await late;
    expect(state.closed).toBe(1);
  });

  test('a broker that does not answer a declaration does not hold up a caller for ever', async () => {
    jest.useFakeTimers();
    const { state, publisher, confirmAll } = fakeBroker();
    state.prepare = () => new Promise(() => {});
    const refused = expect(publisher.publish(messages(1))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(10_000);
    await refused;
    state.prepare = async () => {};
    const second = publisher.publish(messages(1));
    await jest.advanceTimersByTimeAsync(0);
    await confirmAll();
    await second;
    expect(state.channels).toBe(2);
  });
});
