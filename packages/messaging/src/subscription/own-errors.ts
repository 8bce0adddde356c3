/**
 * Tells a handler's own errors from outages. A handler that throws may be unable to reach a dependency: then it waits.
 * Any other error that it throws is a fault of its code, which an event has met: waiting would stop the handler for
 * ever. The event is found by handling the batch one event at a time, and counts as failed. An error of the database
 * that is not about data (a grant that is missing, a table that a migration has moved) is no event's fault: every stream
 * would be parked for it.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { isDataError, sqlState } from '@caudal/postgres/errors.ts';
import type { EventHandler, Failed, InOrderHandler, Unfinished } from '../types.ts';

/** `handle` of a handler, which throws only what waiting helps against, and whatever it throws once `signal` fires. */
export function withOwnErrors(
  handler: Pick<EventHandler, 'handle'>,
  signal: AbortSignal,
): (events: RecordedEvent[]) => Promise<Unfinished[]> {
  return async function handle(events): Promise<Unfinished[]> {
    try {
      return await handler.handle(events);
    } catch (error) {
      if (isWorthWaiting(error) || signal.aborted) throw error;
      if (events.length === 1) return [{ kind: 'failed', event: events[0]!, error }];
    }
    const unfinished = new Map<string, Unfinished>();
    for (const event of events) {
      // What is behind an unfinished event of its stream is left to the next attempt.
      if (unfinished.has(event.stream)) continue;
      const [first] = await handle([event]);
      if (first) unfinished.set(event.stream, first);
    }
    return [...unfinished.values()];
  };
}

/** The same for a handler that needs the order of the log: nothing behind the event that failed is handled. */
export function withOwnErrorsInOrder(
  handler: Pick<InOrderHandler, 'handle'>,
  signal: AbortSignal,
): (events: RecordedEvent[]) => Promise<Failed | undefined> {
  return async function handle(events): Promise<Failed | undefined> {
    try {
      return await handler.handle(events);
    } catch (error) {
      if (isWorthWaiting(error) || signal.aborted) throw error;
      if (events.length === 1) return { event: events[0]!, error };
    }
    for (const event of events) {
      const failed = await handle([event]);
      if (failed) return failed;
    }
    return undefined;
  };
}

function isWorthWaiting(error: unknown): boolean {
  return isTransient(error) || (sqlState(error) !== undefined && !isDataError(error));
}
