/** The state of one stream in this process, which the queue, the loader and the cache share. */
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Append, AppendResult } from '@caudal/eventlog/types.ts';
import type { Command, Decided, Decider, Executed } from './types.ts';

/** Commands and deciders of any entity, where the types no longer matter. */
export type AnyCommand = Command<unknown, EventCase, unknown>;
export type AnyDecider = Decider<unknown, EventCase>;
export type State = Decided<unknown>;

/** A command and the caller that waits for it. */
export interface Job {
  command: AnyCommand;
  /** How often in a row it was decided again because another process had written to the stream. */
  contended: number;
  resolve(executed: Executed<unknown>): void;
  reject(error: unknown): void;
}

export type Answer = { kind: 'reply'; reply: unknown } | { kind: 'refusal'; error: unknown };

/** What became of an append. `failed`: it may have landed or not. */
export type Outcome = AppendResult | { kind: 'failed'; error: unknown };

/** A decided command, whose append the log has been asked for. */
export interface Sent {
  job: Job;
  append: Append;
  /** The stream's state if it is appended. */
  after: State;
  /** The answer to the caller if it is appended. */
  answer: Answer;
  outcome?: Outcome;
}

export interface Entry {
  readonly stream: string;
  readonly decider: AnyDecider;
  /** The latest state that is known to be in the log. */
  durable?: State;
  /** The latest version that the log has named: while `durable` is older it has to be read. */
  latestKnown: number;
  /** The version of the last snapshot; 0 for none. */
  snapshotVersion: number;
  /** When the next snapshot may be begun, by the clock that measures them. */
  snapshotAfterMs: number;
  /** Its bytes, as the cache counts them. */
  cachedBytes: number;
  /** Not decided yet, in order. */
  waiting: Set<Job>;
  /** Decided, in order, each on the state after the one before it. */
  inFlight: Sent[];
  /** Something in flight was not appended: what follows it is void, and nothing is decided until all is settled. */
  broken: boolean;
  /** The last result for the stream was a lost race. */
  overtaken: boolean;
  /** When a race was last lost, and until when the stream counts as contended. */
  lostAtMs: number;
  contendedUntilMs: number;
  /** The stream's lock: see contention.ts. */
  lock?: 'requested' | { endsAtMs: number | undefined; unlock(): void };
  /** The queue waits for a read. */
  loading: boolean;
  /** The read that is on its way, and the one that starts after it. */
  read?: Promise<State>;
  nextRead?: Promise<State>;
}

export function newEntry(stream: string, decider: AnyDecider): Entry {
  return {
    stream,
    decider,
    latestKnown: 0,
    snapshotVersion: 0,
    snapshotAfterMs: 0,
    cachedBytes: 0,
    waiting: new Set(),
    inFlight: [],
    broken: false,
    overtaken: false,
    lostAtMs: Number.NEGATIVE_INFINITY,
    contendedUntilMs: Number.NEGATIVE_INFINITY,
    loading: false,
  };
}

/** Whether nothing waits for this stream. */
export function isIdle(entry: Entry): boolean {
  return entry.waiting.size === 0 && entry.inFlight.length === 0 && !entry.loading && !entry.read && !entry.nextRead;
}
