/** How events reach those who follow them, whatever carries them: RabbitMQ, or the log itself. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';

/** What a handler could not finish. Everything else of the batch is done. */
export type Unfinished =
  /** Events of the stream are missing before the ones given: the handler has seen up to `seen`. */
  | { kind: 'gap'; stream: string; seen: number }
  /** This event can't be handled because of what it is: it will be tried again, then dead-lettered. */
  | { kind: 'failed'; event: RecordedEvent; error: unknown };

/** A projection or a saga, as a handler of events. */
export interface EventHandler {
  /** Unique; names the queue, the dead letters and the metrics: `order-details.v1`. */
  readonly name: string;
  /** The entities whose events it gets, all of them: `['orders.order', 'payments.payment']`. */
  readonly entities: string[];
  /**
   * Handles a batch. Events of one stream are in order, without repeats, but some may be known already (they are
   * dropped) and some may be missing (a gap). Returns what is not finished. Throws if a dependency can't be reached:
   * nothing of the batch counts then, and all of it comes again.
   */
  handle(events: RecordedEvent[]): Promise<Unfinished[]>;
  /** How far it has seen the stream of each of these events; 0 for not at all. For reconciliation. */
  seen(heads: RecordedEvent[]): Promise<number[]>;
}

/** Carries events to a handler, at least once each, in batches. */
export interface Feed {
  /**
   * Calls `deliver` with batches, one at a time, and acknowledges each once it has resolved. Reconnects by itself.
   * Resolves after `signal` has fired and what was in flight is delivered.
   */
  run(deliver: (events: RecordedEvent[]) => Promise<void>, signal: AbortSignal): Promise<void>;
}
