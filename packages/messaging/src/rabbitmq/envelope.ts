/**
 * An event as an AMQP message, and back. The body is the event's data; the CloudEvents attributes are headers with the
 * prefix of CloudEvents' AMQP binding (binary mode), so that any consumer knows the event's type before it decodes it.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import { EventMetadata } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Message, Options } from 'amqplib';
import type { Seal } from '../seals/seal.ts';
import type { Sealer } from '../seals/sealer.ts';
import { slotKeyOf } from './slots.ts';

/** A message ready to be published. */
export interface OutgoingMessage {
  exchange: string;
  routingKey: string;
  content: Buffer;
  options: Options.Publish & { messageId: string };
}

/** A view of the same bytes. */
function buffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The trace that led to the event, or undefined. */
function traceparentOf(metadata: Uint8Array): string | undefined {
  try {
    return EventMetadata.decode(metadata).traceparent || undefined;
  } catch {
    // Metadata of a newer version: the event is published without this header.
    return undefined;
  }
}

/** Where messages go: to an exchange by the types of events, or directly to a queue. */
export type Destination = { exchange: string } | { queue: string };

/** The messages for events, sealed together if there is a sealer. */
export function toMessages(events: RecordedEvent[], to: Destination, sealer: Sealer | undefined): OutgoingMessage[] {
  const seals = events.length > 0 ? sealer?.(events) : undefined;
  return events.map((event) =>
    'queue' in to
      ? toMessage(event, '', to.queue, seals?.get(event))
      : toMessage(event, to.exchange, event.type, seals?.get(event)),
  );
}

/**
 * The message for an event to `exchange`, with its slot's key beside its type; if `exchange` is empty, directly to the
 * queue `routingKey`.
 */
export function toMessage(
  event: RecordedEvent,
  exchange: string,
  routingKey = event.type,
  seal?: Seal,
): OutgoingMessage {
  return {
    exchange,
    routingKey,
    content: buffer(event.data),
    options: {
      messageId: event.eventId,
      contentType: 'application/protobuf',
      type: event.type,
      persistent: true,
      mandatory: true,
      headers: {
        // The broker routes by it too. To the default exchange it would be the name of another queue.
        ...(exchange !== '' && { CC: [slotKeyOf(event)] }),
        cloudEvents_specversion: '1.0',
        cloudEvents_id: event.eventId,
        cloudEvents_source: `/caudal/${domainOf(event.stream)}`,
        cloudEvents_type: event.type,
        cloudEvents_subject: event.stream,
        cloudEvents_time: event.recordedAt.toISOString(),
        cloudEvents_traceparent: traceparentOf(event.metadata),
        cloudEvents_streamversion: event.version,
        cloudEvents_position: event.position,
        cloudEvents_schemaversion: event.schemaVersion,
        // Which events of the log's earlier epochs are lost is told by it: docs/fail-over.md.
        ...(event.epoch !== undefined && { cloudEvents_logepoch: event.epoch }),
        cloudEvents_metadata: buffer(event.metadata),
        ...(seal && { cloudEvents_sealkey: seal.keyId, cloudEvents_seal: seal.bytes }),
      },
    },
  };
}

/** The seal of a message, which is not checked yet; undefined if it has none. */
export function sealIn({ properties }: Pick<Message, 'properties'>): Seal | undefined {
  const { cloudEvents_sealkey: keyId, cloudEvents_seal: bytes } = properties.headers ?? {};
  return typeof keyId === 'string' && Buffer.isBuffer(bytes) ? { keyId, bytes } : undefined;
}

/** The event in a message; undefined if the message is not a Caudal event. */
export function fromMessage({
  content,
  properties,
}: Pick<Message, 'content' | 'properties'>): RecordedEvent | undefined {
  const header = (name: string): unknown => properties.headers?.[`cloudEvents_${name}`];
  // Anybody with an account at the broker can send headers of any type: a table has no text, and throws if it is asked for one.
  const text = (name: string) => {
    const value = header(name);
    return typeof value === 'string' ? value : '';
  };
  const number = (name: string) => {
    const value = header(name);
    return typeof value === 'number' ? value : Number.NaN;
  };
  const metadata = header('metadata');
  const epoch = header('logepoch');
  const event: RecordedEvent = {
    eventId: text('id'),
    type: text('type'),
    stream: text('subject'),
    version: number('streamversion'),
    position: number('position'),
    schemaVersion: number('schemaversion'),
    recordedAt: new Date(text('time')),
    data: content,
    metadata: Buffer.isBuffer(metadata) ? metadata : Buffer.alloc(0),
    ...(typeof epoch === 'number' && { epoch }),
  };
  const whole =
    event.eventId !== '' &&
    event.type !== '' &&
    event.stream.includes('/') &&
    [event.version, event.position, event.schemaVersion].every(Number.isSafeInteger) &&
    !Number.isNaN(event.recordedAt.getTime());
  return whole ? event : undefined;
}
