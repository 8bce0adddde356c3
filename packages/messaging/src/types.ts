/** Handlers of events, and the feeds that bring them events from RabbitMQ or from the log itself. */
import type { RecordedEvent, StreamHead } from '@caudal/eventlog/types.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';

/** What a handler could not finish. All other events of the batch are done. */
export type Unfinished =
  /** Events of the stream are missing before the ones given: the handler has seen up to `seen`. */
  | { kind: 'gap'; stream: string; seen: number }
  /** This event can't be handled because of its content: it is tried again, then dead-lettered. */
  | { kind: 'failed'; event: RecordedEvent; error: unknown };

/** A projection or a saga, as a handler of events. */
export interface EventHandler {
  /** Unique; names the queue, the dead letters and the metrics: `order-details.v1`. */
  readonly name: string;
  /** The entities whose events it gets, all of them: `['orders.order', 'payments.payment']`. */
  readonly entities: string[];
  /** Into how many parts its events are divided, of which each is consumed by one process at a time; 1 if absent. */
  readonly parts?: number;
  readonly inOrder?: false;
  /**
   * Handles a batch. Events of one stream are in order, without repeats. Some may have been handled before (they are
   * dropped) and some may be missing (a gap). Returns what is not finished. Throws a transient error if a
   * dependency can't be reached: then nothing of the batch counts, and all of it is delivered again. After any other
   * error the events are delivered one by one, to find the one that causes it.
   */
  handle(events: RecordedEvent[]): Promise<Unfinished[]>;
  /**
   * How far it has seen each of these streams; 0 for not at all. `events` reads the events that the heads are, for a
   * handler that can't tell from a stream's name.
   */
  seen(heads: StreamHead[], events: () => Promise<RecordedEvent[]>): Promise<number[]>;
}

/** The event that an in-order handler could not handle: nothing of it is done, and nothing behind it in the batch. */
export interface Failed {
  event: RecordedEvent;
  error: unknown;
}

/**
 * A handler that needs the events of each log in the log's order, such as a multi-stream projection. It is fed from the
 * logs, never from a queue. A parked stream can't be redriven: the handler's result must be built anew.
 */
export interface InOrderHandler extends Pick<EventHandler, 'name' | 'entities'> {
  readonly inOrder: true;
  readonly parts?: undefined;
  /**
   * Handles a batch; events that were handled before are dropped. Returns the first event that it can't handle because
   * of the event's content; everything before that is done. Throws a transient error if a dependency can't be reached:
   * then all of the batch is delivered again. Any other error counts as a failure of the event that causes it.
   */
  handle(events: RecordedEvent[]): Promise<Failed | undefined>;
}

export type AnyHandler = EventHandler | InOrderHandler;

/** The lease under which a feed delivers a batch. */
export interface DeliveryLease {
  /** Fires when it is lost, or the feed is stopped: the batch is then delivered by another process, or later. */
  readonly signal: AbortSignal;
  readonly fence: Fence;
}

/** Carries events to a handler, at least once each, in batches. */
export interface Feed {
  /**
   * Calls `deliver` with batches, one at a time, and acknowledges each once it has resolved. Reconnects by itself.
   * Resolves after `signal` has fired and what was in flight is delivered. A feed that reads a log gives its lease.
   */
  run(deliver: (events: RecordedEvent[], lease?: DeliveryLease) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Resolves once what is published from now on reaches the feed, or `run` ends; absent if it reads the log. */
  readonly ready?: Promise<void>;
  /** Slots (docs/parts.md) that this process shall read from the logs now, because no queue brings their events. */
  unserved?(): number[];
  /** Slots whose parts have a backlog, in whichever process: what is late there is not lost. */
  backlog?(): Promise<number[]>;
}
