/** The state of one stream in this process, which the queue, the loader and the cache share. */
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Append, AppendResult, KnownClaim } from '@caudal/eventlog/types.ts';
import type { FormerClaims } from './former-claims.ts';
import type { Command, Decided, Decider, Executed, Remembered } from './types.ts';

/** Commands and deciders of any entity, where the types no longer matter. */
export type AnyCommand = Command<unknown, EventCase, unknown>;
export type AnyDecider = Decider<unknown, EventCase>;

/** A stream's state, with the claims that only its events of version 0.2 tell. */
export interface State extends Decided<unknown> {
  former?: FormerClaims | undefined;
}

/** A command and the caller that waits for it. */
export interface Job {
  command: AnyCommand;
  /** Rises with each command: the order in which they were received. */
  number: number;
  /** How often in a row it was decided again because another process had written to the stream. */
  contended: number;
  /** What the log has answered about claims, by id. */
  known?: Map<string, KnownClaim | 'absent'>;
  /** How often it was decided again for such a claim. */
  claimed: number;
  resolve(executed: Executed<unknown>): void;
  reject(error: unknown): void;
}

/** `look`: there is none yet; the claims that the decision asks for were looked up. */
export type Answer = { kind: 'reply'; reply: unknown } | { kind: 'refusal'; error: unknown } | { kind: 'look' };

/** The result of an append. `failed`: it may have landed or not. */
export type Outcome = AppendResult | { kind: 'failed'; error: unknown };

/** A decided command, whose append was sent to the log. */
export interface Sent {
  job: Job;
  append: Append;
  /** The stream's state if the append lands. */
  after: State;
  /** The answer to the caller if the append lands. */
  answer: Answer;
  /** What the append records, by id. */
  recorded: ReadonlyMap<string, Remembered<unknown>>;
  /** The entry's `era` when it was sent. */
  era: number;
  outcome?: Outcome;
}

export interface Entry {
  readonly stream: string;
  readonly decider: AnyDecider;
  /** Counts how often all that is known of the stream was dropped, because the log may have lost what it came from. */
  era: number;
  /** The latest state that is known to be in the log. */
  durable?: State;
  /** The latest version that the log has reported. While `durable` is older, the stream must be read. */
  latestKnown: number;
  /** The version of the last snapshot; 0 for none. */
  snapshotVersion: number;
  /** When the next snapshot may begin, on the clock of `AggregatesOptions.elapsed`. */
  snapshotAfterMs: number;
  /** The entry's bytes, as the cache counts them. */
  cachedBytes: number;
  /** Not decided yet, in order. */
  waiting: Set<Job>;
  /** Decided, in order, each on the state after the one before it. */
  inFlight: Sent[];
  /** By id: what the appends in flight record. */
  recording: Map<string, Remembered<unknown>>;
  /** An append in flight was not appended: those behind it are void, and nothing is decided until all are settled. */
  broken: boolean;
  /** The last result for the stream was a lost race. */
  overtaken: boolean;
  /** When a race was last lost. */
  lostAtMs: number;
  /** Until when the stream counts as contended. */
  contendedUntilMs: number;
  /** The stream's lock: see contention.ts. */
  lock?: 'requested' | { endsAtMs: number | undefined; unlock(): void };
  /** The queue waits for a read. */
  loading: boolean;
  /** The read in flight. */
  read?: Promise<State>;
  /** The read that starts after it. */
  nextRead?: Promise<State>;
}

export function newEntry(stream: string, decider: AnyDecider): Entry {
  return {
    stream,
    decider,
    era: 0,
    latestKnown: 0,
    snapshotVersion: 0,
    snapshotAfterMs: 0,
    cachedBytes: 0,
    waiting: new Set(),
    inFlight: [],
    recording: new Map(),
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

/**
 * Drops what is known of the stream: the log may have lost it. What is in flight has an outcome of its own; nothing is decided
 * on the states in between.
 */
export function forget(entry: Entry): void {
  entry.era++;
  delete entry.durable;
  entry.latestKnown = 0;
  entry.snapshotVersion = 0;
  for (const job of [...entry.waiting, ...entry.inFlight.map((sent) => sent.job)]) {
    delete job.known;
    job.claimed = 0;
  }
  if (entry.inFlight.length > 0) entry.broken = true;
}
