/**
 * Settling for handlers that need a log's order. A batch is handled in order, and not beyond an event that fails:
 *
 *   handle ── all done ─────────────────────────> settled
 *     │
 *     ├─ a transient error: a dependency is unreachable. The same again after a pause, for ever; no attempt is counted.
 *     │  Any other error that is thrown becomes a failure of the event that causes it (own-errors.ts).
 *     └─ an event failed: what is before it is done. 3 retries with growing pauses, then its stream is parked, with a
 *        dead letter, and the rest of the batch continues without that stream.
 *
 * A stream is parked before anything behind its event is done, and its later events are left out of every batch. After
 * the fault is fixed the handler is built anew, with all events. Until then the rest of the stream is missing.
 *
 * If only a newer version of the code can read an event, the handler waits up to 15 minutes: during a roll-out a
 * process of the old version may still hold the lease, and one of the new version takes it over. From then on this
 * process neither tries again nor parks: the statement that parks is void without the lease.
 */
import { NewerEvent } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { DeliveryLease, Failed, InOrderHandler } from '../types.ts';
import { outcomes } from './outcomes.ts';
import { withOwnErrorsInOrder } from './own-errors.ts';
import { openParking, type Parking, sendLetter } from './parking.ts';
import { patience, Stopped } from './patience.ts';
import type { SettleOptions } from './settle.ts';

/** Longer than the roll-out of a release takes. */
const newerMs = 15 * 60_000;

/**
 * Gives events to the handler in their order, without those of parked streams. After a failure `onFailed` decides: try
 * again, or park the stream and continue without it. Returns how many events were left out. Throws what the calls
 * throw; it may be called again after that.
 */
export async function handleInOrder(options: {
  handler: Pick<InOrderHandler, 'handle'>;
  events: RecordedEvent[];
  parking: Parking;
  /** Returns undefined to try again, or the number of attempts to park the stream. */
  onFailed(failed: Failed): Promise<number | undefined>;
  /** The lease without which nothing is parked. */
  fence?: Fence;
  onParked?(failed: Failed): Promise<void>;
}): Promise<number> {
  const { handler, events, parking, onFailed, onParked, fence } = options;
  let rest = await parking.without(events);
  let left = events.length - rest.length;
  while (rest.length > 0) {
    const failed = await handler.handle(rest);
    if (!failed) break;
    if (isTransient(failed.error)) throw failed.error;
    const { stream, version } = failed.event;
    rest = rest.slice(rest.findIndex(({ eventId }) => eventId === failed.event.eventId));
    const attempts = await onFailed(failed);
    if (attempts === undefined) continue;
    const ofStream = rest.filter((event) => event.stream === stream);
    if (await parking.park(ofStream, { version, error: failed.error, attempts }, fence)) await onParked?.(failed);
    rest = rest.filter((event) => event.stream !== stream);
    left += ofStream.length;
  }
  return left;
}

/** A function that settles batches. It throws only `Stopped`. */
export function inOrderSettler(
  options: Omit<SettleOptions, 'handler'> & { handler: InOrderHandler },
): (events: RecordedEvent[], lease?: DeliveryLease) => Promise<void> {
  const { handler, database, deadLetters, retry, pause, signal } = options;
  const { name } = handler;
  const labels = { handler: name };
  const patiently = patience({ handler: name, pause, signal });
  const parking = openParking({ handler: name, database });
  /** The event that fails at the moment. */
  let failing: { eventId: string; count: number; since: number } | undefined;

  const handle = withOwnErrorsInOrder(handler, signal);

  async function onFailed({ event: { eventId }, error }: Failed, until: AbortSignal): Promise<number | undefined> {
    if (failing?.eventId !== eventId) failing = { eventId, count: 0, since: performance.now() };
    outcomes.add(1, { ...labels, outcome: 'failed' });
    // `patiently` waits.
    if (error instanceof NewerEvent && performance.now() - failing.since < newerMs) throw error;
    failing.count += 1;
    if (failing.count > retry.times) return failing.count;
    await sleep(backoffMs(failing.count, retry), until);
    if (until.aborted) throw new Stopped();
    return undefined;
  }

  async function onParked({ event, error }: Failed): Promise<void> {
    if (deadLetters) await sendLetter(deadLetters, { event, error, handler: name }, signal);
  }

  return async (events, lease) => {
    const { fence, signal: until } = lease ?? { signal };
    const settling = {
      handler: { handle },
      events,
      parking,
      fence,
      onFailed: (failed: Failed) => onFailed(failed, until),
      onParked,
    };
    const left = await patiently(() => handleInOrder(settling), until).catch((error: unknown) => {
      // Whoever gets the lease next begins to count anew, this process too.
      failing = undefined;
      throw error;
    });
    outcomes.add(left, { ...labels, outcome: 'parked' });
    outcomes.add(events.length - left, { ...labels, outcome: 'settled' });
  };
}
