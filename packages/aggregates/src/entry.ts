/** The state of one stream in this process, which the queue, the loader and the cache share. */
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Append, AppendResult, KnownClaim } from '@caudal/eventlog/types.ts';
import type { FormerClaims } from './former-claims.ts';
import type { Decided, Decider, ExecutedUnit, Remembered, Unit } from './types.ts';

/** Units and deciders of any entity, where the types no longer matter. A command of one stream is a unit of one. */
export type AnyUnit = Unit<unknown, EventCase, unknown>;
export type AnyDecider = Decider<unknown, EventCase>;

/** A stream's state, with the claims that only its events of version 0.2 tell. */
export interface State extends Decided<unknown> {
  former?: FormerClaims | undefined;
}

/** What the log has answered about claims of a stream, by id. */
export type FromLog = Map<string, KnownClaim | 'absent'>;

/** A command and the caller that waits for it. */
export interface Job {
  unit: AnyUnit;
  /** Those of its streams, in the order of the unit's parts. */
  entries: Entry[];
  /** Rises with each command: the order in which they joined their queues. */
  number: number;
  /** It waits in the queue of its first stream alone: see joining.ts. */
  outside: boolean;
  /** Decided, and not yet returned to all its queues or answered. */
  sent: boolean;
  /** The caller has its answer. */
  done: boolean;
  /** How often it was decided again because another process had written to one of its streams. */
  contended: number;
  /** How often because of each of them. */
  lost: number[];
  /** For each stream. */
  known?: FromLog[];
  /** How often it was decided again for such a claim. */
  claimed: number;
  resolve(executed: ExecutedUnit<unknown>): void;
  reject(error: unknown): void;
}

/** `look`: there is none yet; the claims that the decision asks for were looked up. */
export type Answer = { kind: 'reply'; reply: unknown } | { kind: 'refusal'; error: unknown } | { kind: 'look' };

/** The result of an append. `failed`: it may have landed or not. */
export type Outcome = AppendResult | { kind: 'failed'; error: unknown };

/** A decided command, whose append was sent to the log. */
export interface Sent {
  job: Job;
  /** The era in which it was decided. */
  era: number;
  append: Append;
  /** The answer to the caller if the append lands. */
  answer: Answer;
  parts: SentPart[];
  outcome?: Outcome;
  /** Of its queues, those that have not recovered yet, if its outcome voids what follows. */
  unrecovered: number;
  /** In one of them another process had written. */
  overtaken: boolean;
}

/** A stream of a decided command. */
export interface DecidedPart {
  /** The stream's state that it was decided on. */
  before: State;
  /** The same if the append lands. */
  after: State;
  /** What the append records, by id. */
  recorded: ReadonlyMap<string, Remembered<unknown>>;
}

export interface SentPart extends DecidedPart {
  sent: Sent;
  /** Its place in the append. */
  place: number;
}

/**
 * Counts how often all that a process knows of its streams was dropped, because the log may have lost what it came from: see
 * docs/fail-over.md.
 */
export interface Era {
  number: number;
}

export interface Entry {
  readonly stream: string;
  readonly decider: AnyDecider;
  /** The latest state that is known to be in the log. */
  durable?: State;
  /** The latest version that the log has reported. While `durable` is older, the stream must be read. */
  latestKnown: number;
  /** The version of the last snapshot that this process knows; 0 for none, -Infinity if it is to be replaced soon. */
  snapshotVersion: number;
  /** Another process has written it. */
  snapshotOfOther: boolean;
  /** When the next snapshot may begin, on the clock of `AggregatesOptions.elapsed`. */
  snapshotAfterMs: number;
  /** The entry's bytes, as the cache counts them. */
  cachedBytes: number;
  /** Units that read other streams before they join `waiting`. */
  warming: number;
  /** Units that wait in the queue of another stream before they join `waiting`. */
  outside: number;
  /** Not decided yet, in order. */
  waiting: Set<Job>;
  /** Decided, in order, each on the state after the one before it. */
  inFlight: SentPart[];
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
  /** When the stream may be claimed again: see owners.ts. */
  claimAfterMs: number;
  /** Commands are handed over to an owner. */
  routed: boolean;
  /** The durable state may lack all that an owner has written: a snapshot may be nearer. */
  stale: boolean;
  /** Goes on with the queue once the next owner is known. */
  again?: () => void;
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
    latestKnown: 0,
    snapshotVersion: 0,
    snapshotOfOther: false,
    snapshotAfterMs: 0,
    cachedBytes: 0,
    warming: 0,
    outside: 0,
    waiting: new Set(),
    inFlight: [],
    recording: new Map(),
    broken: false,
    overtaken: false,
    lostAtMs: Number.NEGATIVE_INFINITY,
    contendedUntilMs: Number.NEGATIVE_INFINITY,
    claimAfterMs: Number.NEGATIVE_INFINITY,
    routed: false,
    stale: false,
    loading: false,
  };
}

/** Whether nothing waits for this stream. */
export function isIdle(entry: Entry): boolean {
  const { waiting, inFlight, warming, outside, loading, read, nextRead } = entry;
  return waiting.size === 0 && inFlight.length === 0 && warming + outside === 0 && !loading && !read && !nextRead;
}
