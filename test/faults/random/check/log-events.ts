/** The content of all logs, decoded: everything else is compared with it. */
import { entities } from '@caudal/contract/entities.ts';
import { entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import { metadataOf } from '@caudal/eventlog/codec.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Json } from '../../../e2e/api.ts';

const maxAttempts = 10;

export interface LogEvent {
  domain: string;
  position: number;
  stream: string;
  entity: string;
  id: string;
  version: number;
  /** `payments.wallet.deposited.v1` */
  type: string;
  /** The event's fields. */
  value: Json;
  /** The id of its cause: a client's command, or another event. */
  causationId: string;
}

/** Reads all logs completely, each in its order. Throws if a position or a version is missing or doubled. */
export async function readLogs(readers: Iterable<LogReader>): Promise<LogEvent[]> {
  const events: LogEvent[] = [];
  for (const reader of readers) events.push(...(await readWhole(reader)));
  return events;
}

async function readWhole(reader: LogReader): Promise<LogEvent[]> {
  const events: LogEvent[] = [];
  const versions = new Map<string, number>();
  let position = 0;
  for (;;) {
    const page = await patiently(() => reader.readLog(position, { limit: 1_000 }));
    for (const recorded of page.events) {
      const { stream, version, type } = recorded;
      if (recorded.position !== position + 1)
        throw new Error(`${reader.domain}: after position ${position} comes ${recorded.position}`);
      const before = versions.get(stream) ?? 0;
      if (version !== before + 1) throw new Error(`${stream}: after version ${before} comes ${version}`);
      position = recorded.position;
      versions.set(stream, version);
      const entity = entityOfStream(stream);
      const codec = entities.find(({ name }) => name === entity)!;
      const { value } = codec.decode(recorded) as { value: Json };
      const { causationId } = metadataOf(recorded);
      events.push({
        domain: reader.domain,
        position,
        stream,
        entity,
        id: idOfStream(stream),
        version,
        type,
        value,
        causationId,
      });
    }
    if (position >= page.head) return events;
  }
}

/** Repeats a read that times out: there are no faults any more, but the machine may be busy. */
export async function patiently<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (attempt === maxAttempts || !isTransient(error)) throw error;
    }
  }
}

/** Groups items by a key. Items keep their order within a group. */
export function groupBy<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
