/** The write-ahead queue of traces: what is in it is durable, and is written soon. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Transaction } from '@caudal/postgres/database.ts';

/** Writes a batch in a transaction. Called again with the same traces if the transaction fails. */
export type Write = (tx: Transaction, bodies: Uint8Array[]) => Promise<void>;

/** Takes traces out of the queue. It is used by one caller at a time. */
export interface Lane extends Running {
  /**
   * Has about `limit` traces written and takes them out of the queue; the number of traces, 0 if there were none. What `write` or
   * the commit throws is thrown: the traces are then taken again. Killed anywhere, it loses nothing; what is written twice `write` must know.
   */
  take(limit: number, write: Write, signal: AbortSignal): Promise<number>;
}

export interface PutOptions {
  /** The caller tries again: it leaves a part of the room to those that can't wait. */
  patient?: boolean;
}

export interface TraceQueue {
  /**
   * Resolves once the traces are durable. Errors: RESOURCE_EXHAUSTED TRACE_QUEUE_FULL; UNAVAILABLE, after which they may be in the
   * queue or not.
   */
  put(bodies: Uint8Array[], options?: PutOptions): Promise<void>;
  /** How many traces this process has put. */
  accepted(): number;
  /** `pollMs`: how often a lane looks for what other processes have put, where the queue does not tell. */
  lane(options: { pollMs: number }): Lane;
  /** What was put into a queue that this one has replaced: a worker empties it beside this one. */
  former?: Pick<TraceQueue, 'lane'>;
}
