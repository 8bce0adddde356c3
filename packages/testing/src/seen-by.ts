/** How far a handler has seen the streams of events, as reconciliation asks it. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';

export function seenBy(handler: Pick<EventHandler, 'seen'>, events: RecordedEvent[]): Promise<number[]> {
  return handler.seen(events, async () => events);
}
