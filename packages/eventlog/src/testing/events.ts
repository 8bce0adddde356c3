/** For tests: events, commands and appends. */
import { randomUUID } from 'node:crypto';
import { contentHash, newId } from '@caudal/kernel/ids.ts';
import type { Append, NewEvent, RecordedEvent } from '../types.ts';

/** An event with this content. */
export function someEvent(content = 'x'): NewEvent {
  return {
    eventId: newId(),
    type: 'orders.order.changed.v1',
    schemaVersion: 1,
    data: Buffer.from(content),
    metadata: Buffer.from('metadata'),
  };
}

export function someCommand(request = 'request', reply = 'reply', key: string = randomUUID()) {
  return { key, hash: contentHash(Buffer.from(request)), reply: Buffer.from(reply) };
}

/** An append with one event for each of `contents`. */
export function someAppend(
  stream: string,
  expected: Append['expected'],
  contents: string[] = ['x'],
  command?: Append['command'],
): Append {
  return { stream, expected, events: contents.map(someEvent), ...(command && { command }) };
}

/** The events as tests compare them: stream, version and content. */
export function summary(events: RecordedEvent[]): [stream: string, version: number, content: string][] {
  return events.map(({ stream, version, data }) => [stream, version, Buffer.from(data).toString()]);
}
