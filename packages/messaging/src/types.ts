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
  readonly inOrder?: false;
  /**
   * Handles a batch. Events of one stream are in order, without repeats, but some may be known already (they are
   * dropped) and some may be missing (a gap). Returns what is not finished. Throws if a dependency can't be reached:
   * nothing of the batch counts then, and all of it comes again.
   */
  handle(events: RecordedEvent[]): Promise<Unfinished[]>;
  /** How far it has seen the stream of each of these events; 0 for not at all. For reconciliation. */
  seen(heads: RecordedEvent[]): Promise<number[]>;
}

/** What an in-order handler could not do: nothing of the event is done, and nothing of those given after it. */
export interface Failed {
  event: RecordedEvent;
  error: unknown;
}

/**
 * A handler that needs the events of each log in the log's order, such as a multi-stream projection: it is fed from the
 * logs, never from a queue. A stream that is parked can't be brought up afterwards: it has to be built anew.
 */
export interface InOrderHandler extends Pick<EventHandler, 'name' | 'entities'> {
  readonly inOrder: true;
  /**
   * Handles a batch; events that are known already are dropped. Returns the first event that it can't handle because of
   * what the event is; everything given before that is done. Throws if a dependency can't be reached: then all of the
   * batch comes again.
   */
  handle(events: RecordedEvent[]): Promise<Failed | undefined>;
}

export type AnyHandler = EventHandler | InOrderHandler;

/** Carries events to a handler, at least once each, in batches. */
export interface Feed {
  /**
   * Calls `deliver` with batches, one at a time, and acknowledges each once it has resolved. Reconnects by itself.
   * Resolves after `signal` has fired and what was in flight is delivered.
   */
  run(deliver: (events: RecordedEvent[]) => Promise<void>, signal: AbortSignal): Promise<void>;
}
