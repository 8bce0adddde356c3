/** An event as a line of a file in the archive, and the digest of many events. See docs/archive.md, What is in the archive. */
import { entities } from '@caudal/contract/entities.ts';
import { type Entity, entityOfStream } from '@caudal/contract/entity.ts';
import { eventJson, withoutPersonal } from '@caudal/contract/event-json.ts';
import type { RecordedEvent } from '../types.ts';
import { openSum } from './digest.ts';

/** An event as its line has it: all that is in its row, exactly. */
export interface ArchivedEvent {
  position: number;
  /** With microseconds, since rows have them: `2024-03-01T12:00:00.123456Z`. */
  recordedAt: string;
  stream: string;
  version: number;
  eventId: string;
  type: string;
  schemaVersion: number;
  /** In base64. */
  metadata: string;
  data: string;
}

const entityOf = new Map((entities as unknown as Entity[]).map((entity) => [entity.name, entity]));

/** The line, with its line break. `readable`: with the decoded event in `fields`, personal data as `***`. */
export function toLine(event: ArchivedEvent, { readable = false } = {}): string {
  const fields = readable ? fieldsOf(event) : undefined;
  return `${JSON.stringify(fields ? { ...event, fields } : event)}\n`;
}

/** The decoded event; undefined if this version can't decode it. */
function fieldsOf({ stream, type, schemaVersion, data }: ArchivedEvent): object | undefined {
  const entity = entityOf.get(entityOfStream(stream));
  if (!entity) return undefined;
  try {
    return eventJson(entity, withoutPersonal(entity, { type, schemaVersion, data: Buffer.from(data, 'base64') }));
  } catch {
    return undefined;
  }
}

/** The events of a frame's text. Throws if it is not lines of events. */
export function parseLines(text: string): ArchivedEvent[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { position, recordedAt, stream, version, eventId, type, schemaVersion, metadata, data } = JSON.parse(line);
      return { position, recordedAt, stream, version, eventId, type, schemaVersion, metadata, data };
    });
}

/** The event as readers of the log get it. */
export function toRecorded(event: ArchivedEvent): RecordedEvent {
  return {
    ...event,
    recordedAt: new Date(event.recordedAt),
    metadata: Buffer.from(event.metadata, 'base64'),
    data: Buffer.from(event.data, 'base64'),
  };
}

/** Sums up the hashes of events: the same for the same events in any order. */
export function openDigest() {
  const sum = openSum();
  return {
    add(event: ArchivedEvent): void {
      const { position, recordedAt, stream, version, eventId, type, schemaVersion, metadata, data } = event;
      sum.add(JSON.stringify([position, recordedAt, stream, version, eventId, type, schemaVersion, metadata, data]));
    },
    /** How many events were added, and their sum in 64 hexadecimal digits. */
    result() {
      const { count, digest } = sum.result();
      return { events: count, digest };
    },
  };
}
