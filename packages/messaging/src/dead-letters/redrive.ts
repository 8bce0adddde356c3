/**
 * Tries parked streams again, after their fault is fixed. The events are read from the log, so they are complete and in
 * order. A redrive may run twice, and beside running consumers.
 */
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { type Logs, logOf } from '../logs.ts';
import type { AnyHandler, EventHandler } from '../types.ts';
import type { DeadLetters } from './dead-letters.ts';
import { type ParkedStream, park, parkedPage, parkedStream, unpark } from './parked.ts';

export interface RedriveOptions {
  handler: AnyHandler;
  /** By domain; those of the handler's entities. */
  logs: Logs;
  database: Database;
  /** If there is a broker: the letters of redriven streams are removed. */
  deadLetters?: DeadLetters;
  /** Only this stream; all parked streams of the handler if absent. */
  stream?: string;
}

export interface Redriven {
  stream: string;
  outcome: 'redriven' | 'still-parked';
  /** Why it is still parked. */
  error?: string;
}

const chunkSize = 500;
const pageSize = 100;

/**
 * Redrives, and yields each stream when it is done. A stream that fails again stays parked, with its new error. Streams
 * of an in-order handler stay parked and are not tried: its views are past these events. Throws if a dependency can't
 * be reached; then call it again.
 */
export async function* redrive(options: RedriveOptions): AsyncGenerator<Redriven> {
  const { handler, database, deadLetters, stream } = options;
  if (stream !== undefined) {
    const parked = await parkedStream(database, handler.name, stream);
    if (parked) yield await redriveStream(options, parked);
  } else {
    for await (const parked of listDeadLetters(database, handler.name)) yield await redriveStream(options, parked);
  }
  await deadLetters?.drain(async (of) => !(await parkedStream(database, handler.name, of)));
}

/** The parked streams of a handler, or of all handlers that use this database. */
export async function* listDeadLetters(database: Database, handler?: string): AsyncGenerator<ParkedStream> {
  let after: ParkedStream | undefined;
  do {
    const page = await parkedPage(database, { handler, after, limit: pageSize });
    yield* page;
    after = page.length === pageSize ? page.at(-1) : undefined;
  } while (after);
}

async function redriveStream(options: RedriveOptions, parked: ParkedStream): Promise<Redriven> {
  const { handler } = options;
  if (!handler.inOrder) return tryAgain({ ...options, handler }, parked);
  const error = `${handler.name} handles events only in the log's order, and is past those of this stream: it must be built anew`;
  return { stream: parked.stream, outcome: 'still-parked', error };
}

async function tryAgain(options: RedriveOptions & { handler: EventHandler }, parked: ParkedStream): Promise<Redriven> {
  const { handler, logs, database } = options;
  const { stream } = parked;
  const log = logOf(logs, stream);

  const [first] = await log.readStreams([{ stream, afterVersion: parked.version - 1 }], { limit: 1 });
  let seen = first ? (await handler.seen([first], async () => [first]))[0]! : parked.version - 1;
  for (;;) {
    const events = await log.readStreams([{ stream, afterVersion: seen }], { limit: chunkSize });
    if (events.length === 0) {
      // This is the end of the stream, unless a consumer has recorded an event since the read.
      if (await unpark(database, handler.name, stream, seen)) return { stream, outcome: 'redriven' };
      const [next] = await log.readStreams([{ stream, afterVersion: seen }], { limit: 1 });
      if (next) continue;
      if (!(await parkedStream(database, handler.name, stream))) return { stream, outcome: 'redriven' };
      return { stream, outcome: 'still-parked', error: `version ${seen + 1} is not in the log` };
    }

    const unfinished = (await handler.handle(events)).find((one) =>
      one.kind === 'gap' ? one.stream === stream : one.event.stream === stream,
    );
    if (!unfinished) {
      seen = events.at(-1)!.version;
    } else if (unfinished.kind === 'gap' && unfinished.seen > seen) {
      seen = unfinished.seen;
    } else {
      const event = unfinished.kind === 'failed' ? unfinished.event : events[0]!;
      const cause =
        unfinished.kind === 'failed'
          ? unfinished.error
          : new Error('the handler reports a gap in the events that it was given');
      if (isTransient(cause)) throw cause;
      const error = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
      const { version, type: eventType } = event;
      // The redrive may be further in the stream than the messages that have arrived.
      const lastVersion = Math.max(parked.lastVersion, version);
      await park(database, { ...parked, version, eventType, error, attempts: 1, lastVersion });
      return { stream, outcome: 'still-parked', error };
    }
  }
}
