import { EventMetadata } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { describe, expect, test } from '@jest/globals';
import { fromMessage, toMessage } from './envelope.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const event: RecordedEvent = {
  eventId: '0190b4a0-0000-7000-8000-000000000001',
  type: 'orders.order.placed.v1',
  schemaVersion: 2,
  data: Buffer.from([1, 2, 3]),
  metadata: EventMetadata.encode(EventMetadata.fromPartial({ actor: 'somebody', traceparent })).finish(),
  position: Number.MAX_SAFE_INTEGER,
  stream: 'orders.order/1',
  version: 7,
  recordedAt: new Date('2026-01-02T03:04:05.678Z'),
};

/** The message as a consumer gets it; the integration tests send it through a broker. */
const received = ({ content, options }: ReturnType<typeof toMessage>) => ({
  content,
  properties: { ...options, headers: options.headers } as never,
});

describe('the envelope', () => {
  test('has the key of the slot as a second routing key, but not if it goes directly to a queue', () => {
    expect(toMessage(event, 'events.orders.v1').options.headers).toMatchObject({ CC: ['orders.order.s6'] });
    expect(toMessage(event, '', 'list.v1.p0').options.headers).not.toHaveProperty('CC');
  });

  test('is a CloudEvent in binary mode', () => {
    const { exchange, routingKey, content, options } = toMessage(event, 'events.orders.v1');
    expect({ exchange, routingKey, content: [...content] }).toEqual({
      exchange: 'events.orders.v1',
      routingKey: 'orders.order.placed.v1',
      content: [1, 2, 3],
    });
    expect(options).toMatchObject({
      messageId: event.eventId,
      contentType: 'application/protobuf',
      persistent: true,
      mandatory: true,
      headers: {
        cloudEvents_specversion: '1.0',
        cloudEvents_id: event.eventId,
        cloudEvents_source: '/caudal/orders',
        cloudEvents_type: 'orders.order.placed.v1',
        cloudEvents_subject: 'orders.order/1',
        cloudEvents_time: '2026-01-02T03:04:05.678Z',
        cloudEvents_traceparent: traceparent,
      },
    });
  });

  test('is decoded to the same event', () => {
    const back = fromMessage(received(toMessage(event, 'events.orders.v1')))!;
    expect({ ...back, metadata: [...back.metadata] }).toEqual({ ...event, metadata: [...event.metadata] });
  });

  test('metadata that this version can not read is sent unchanged', () => {
    const metadata = Buffer.from([0xff]);
    const message = toMessage({ ...event, metadata }, 'events.orders.v1');
    expect(fromMessage(received(message))!.metadata).toEqual(metadata);
  });

  test.each(['id', 'type', 'subject', 'streamversion', 'position', 'schemaversion', 'time'])(
    'a message without %s is no event',
    (name) => {
      const message = received(toMessage(event, 'events.orders.v1'));
      const { headers } = message.properties as { headers: Record<string, unknown> };
      delete headers[`cloudEvents_${name}`];
      expect(fromMessage(message)).toBeUndefined();
      // A table of AMQP, which has no text: whoever sends it must not stop the handler.
      headers[`cloudEvents_${name}`] = { toString: 'x', valueOf: 'x' };
      expect(fromMessage(message)).toBeUndefined();
    },
  );
});
