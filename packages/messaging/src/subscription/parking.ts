/** Parking a stream after its last attempt: with one alert and one dead letter. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { DeadLetters } from '../dead-letters/dead-letters.ts';
import { park, recordArrivals } from '../dead-letters/parked.ts';
import { byStream } from './batch.ts';
import { Stopped } from './patience.ts';

/** The parked streams of a handler. */
export interface Parking {
  /** Returns the events without those of parked streams, and records that these have arrived. */
  without(events: RecordedEvent[]): Promise<RecordedEvent[]>;
  /**
   * Parks the stream of these events because its `version` failed. True if it was not parked before. Throws Stopped if
   * the fence's lease is lost: what this process can't handle is then another one's to judge.
   */
  park(
    events: RecordedEvent[],
    failure: { version: number; error: unknown; attempts: number },
    fence?: Fence,
  ): Promise<boolean>;
}

export interface ParkingOptions {
  /** The handler's name. */
  handler: string;
  database: Database;
}

const letterMs = 5_000;
const log = logger('subscription');
const parkings = counter('streams_parked_total', 'Streams that were parked: each needs a look and a redrive');

/** The parked streams of a handler. Calls fail if the database can't be reached. */
export function openParking({ handler, database }: ParkingOptions): Parking {
  return {
    async without(events) {
      const arrivals = [...byStream(events)].map(([stream, ofStream]) => ({
        stream,
        lastVersion: ofStream.at(-1)!.version,
      }));
      const parked = await recordArrivals(database, handler, arrivals);
      return parked.size === 0 ? events : events.filter(({ stream }) => !parked.has(stream));
    },
    async park(events, { version, error, attempts }, fence) {
      const { stream, type: eventType } = events[0]!;
      const lastVersion = events.at(-1)!.version;
      const parked = { handler, stream, version, eventType, error: reasonOf(error), attempts, lastVersion };
      const outcome = await park(database, parked, fence);
      if (outcome === 'fenced') throw new Stopped();
      if (outcome === 'parked before') return false;
      parkings.add(1, { handler });
      log.error({ handler, stream, version, type: eventType, attempts, err: error }, 'a stream is parked');
      return true;
    },
  };
}

/**
 * Publishes the dead letter of the event that parked its stream. It is tried once: nothing depends on it, and a broker
 * that accepts no messages must not hold up the other streams.
 */
export async function sendLetter(
  deadLetters: DeadLetters,
  { event, error, handler }: { event: RecordedEvent; error: unknown; handler: string },
  signal: AbortSignal,
): Promise<void> {
  const { stream } = event;
  try {
    if (await within(letterMs, deadLetters.publish(event, reasonOf(error)), signal)) return;
    log.warn({ handler, stream }, 'the broker does not accept the dead letter: the stream is parked without it');
  } catch (failure) {
    log.warn({ handler, stream, err: failure }, 'the stream is parked without a dead letter');
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
