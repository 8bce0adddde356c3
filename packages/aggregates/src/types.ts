/** An aggregate is a stream, and the rules that decide which events may be added to it. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import type { ReplyCodec } from '@caudal/contract/personal.ts';
import type { CommandId, Origin } from '@caudal/kernel/context.ts';
import type { ExpiringMap } from '@caudal/kernel/expiring-map.ts';

/** The rules: pure, no I/O, no clock. */
export interface Decider<S, E extends EventCase, C = unknown> {
  entity: Entity<E>;
  /** The state before the first event. States are never changed in place. */
  initial: S;
  /** The state after an event. `at`: when the event happened, by the clock of the process that decided the command. */
  evolve(state: S, event: E, at: Date): S;
  /** What the stream remembers beside its state: ids that were dealt with. See README, Claims. */
  claims?: ClaimRules<C, E>;
  /** The id of the resource's owner; undefined before there is one. */
  owner?(state: S): string | undefined;
  /**
   * Snapshots: at the earliest after `every` events (a number, or a function of the state), and never so often that
   * they take more than 2 % of a process's time. Raise `schemaVersion` when the state's shape changes. The state may
   * hold plain data, `Map`, `Set`, `Date` and `bigint`.
   */
  snapshot?: {
    every: number | ((state: S) => number);
    schemaVersion: number;
    /** Reads snapshots of the schema version before. Without it they are ignored. */
    former?: FormerSnapshots<S, C>;
  };
  /** About how many bytes the state takes in memory, if it can grow large. The cache is bounded by it. */
  bytes?(state: S): number;
  /** The state has personal texts: no process keeps it while nothing uses it, so that it does not outlive an erasure there. */
  forgetIdle?(state: S): boolean;
  /** Personal texts of events are not opened for the state: it has them as the log does, or in plain from its own process's decisions. */
  keepSealed?: true;
}

/** Claims of a kind of stream: facts about ids that are kept in the log beside the stream, for some days. */
export interface ClaimRules<C, E extends EventCase = EventCase> {
  /** How long they are kept at least: 1 to 60. It never changes. */
  days: number;
  /** What an event leaves behind. It follows from the event alone. */
  of(event: E): Remembered<C>[];
  /** How an outcome is stored; `kind` is a number from 1 on. */
  encode(outcome: C): { kind: number; outcome: Uint8Array };
  decode(stored: { kind: number; outcome: Uint8Array }): C;
}

/** How an id was dealt with. */
export interface Remembered<C> {
  id: string;
  outcome: C;
  /** How long it is kept, if that is longer than the rules' `days`; at most 60. */
  days?: number;
}

/** How snapshots of a former schema version are read. */
export interface FormerSnapshots<S, C> {
  schemaVersion: number;
  /** The state of such a snapshot, and what it remembers of ids that were dealt with before there were claims. */
  read(former: unknown): { state: S; claims: ExpiringMap<C> /** When the last of them ends. */; until: Date };
}

/** What a decision may use beside the state. */
export interface DecisionContext {
  now: Date;
  /** The version of the stream that the command is decided on; 0 if the stream does not exist. */
  version: number;
}

/** The context of a decision that asks how ids were dealt with. */
export interface ClaimContext<C> extends DecisionContext {
  /**
   * The outcome of the id, if the stream's claims have one. What this process does not know counts as absent: the log checks
   * that with the append, and if it is not, the command is decided again and gets the outcome.
   */
  claim(id: string): C | undefined;
  /**
   * The same for an id that the log probably knows: the log is asked before the command is decided. That costs one more round
   * trip, while events that are decided on a wrong guess cost a new decision of all commands behind them.
   */
  lookUp(id: string): C | undefined;
}

/** A stream's state after a command. */
export interface Decided<S> {
  state: S;
  version: number;
}

/** What an answer is made of. */
export interface After<S, C> extends Decided<S> {
  /** The outcome of the id, after the command's events. */
  claim(id: string): C | undefined;
}

export interface Command<S, E extends EventCase, R, C = unknown> {
  decider: Decider<S, E, C>;
  /** The id of the stream within its entity. */
  id: string;
  /** Returns the events, maybe none; throws CaudalError to refuse. Called again if the state was stale. */
  decide(state: S, context: ClaimContext<C>): E[];
  /** The answer, from the state after the events. It is stored, so that a repeat of the command gets the same. */
  reply(after: After<S, C>): R;
  /** How the answer is stored. */
  replyCodec: ReplyCodec<R>;
  /** Without it the command can't be repeated safely. */
  commandId?: CommandId;
  origin: Origin;
  /** Called with the resource's owner before each decision; throws to refuse. */
  authorize?(owner: string | undefined): void;
  /**
   * Whether `execute` may reject with ForwardToOwner, before anything is done: the caller then has the call done by the
   * process that owns the stream.
   */
  forwardable?: boolean;
  /** Cancels the command while it is not decided. Once it is decided, its outcome is awaited. */
  signal?: AbortSignal;
}

/** A stream of a unit. */
export interface UnitPart<S, E extends EventCase, C = unknown> {
  decider: Decider<S, E, C>;
  /** The id of the stream within its entity. */
  id: string;
  /** Called with the resource's owner before each decision; throws to refuse. */
  authorize?(owner: string | undefined): void;
}

/** A stream of a unit as its decision sees it. */
export interface PartState<S, C> extends ClaimContext<C> {
  state: S;
}

/** A command over several streams of one log: all its events land, or none. See docs/units.md. */
export interface Unit<S, E extends EventCase, R, C = unknown>
  extends Pick<Command<S, E, R, C>, 'replyCodec' | 'commandId' | 'origin' | 'forwardable' | 'signal'> {
  /** Its streams, 1 to 100, each named once. */
  parts: UnitPart<S, E, C>[];
  /** Returns the events of each stream, in the order of `parts`; throws CaudalError to refuse all. */
  decide(parts: PartState<S, C>[]): E[][];
  /** The answer, from the states after the events. It is stored, so that a repeat of the command gets the same. */
  reply(after: After<S, C>[]): R;
}

/** The answer of a unit, and the versions that a reader must wait for to see the change. */
export interface ExecutedUnit<R> {
  reply: R;
  streams: { stream: string; version: number }[];
  /** Whether this is the answer to an earlier call with the same command id. */
  repeated: boolean;
}

/** The answer, and the stream's version that a reader must wait for to see the change. */
export interface Executed<R> {
  reply: R;
  stream: string;
  version: number;
  /** Whether this is the answer to an earlier call with the same command id. */
  repeated: boolean;
}

/** The most streams of a unit: the log's bound of an append. */
export const maxParts = 100;

/** Aggregates of one context, over its log. */
export interface Aggregates {
  /**
   * Runs a command. Commands of one stream are decided one after the other and share commits. No answer, refusals
   * included, is given before the state that it was decided on is durable. Errors: what `decide` throws; ABORTED if the
   * stream is too contended; UNAVAILABLE if the log can't be reached; RESOURCE_EXHAUSTED if the stream's queue is full;
   * INVALID_ARGUMENT REQUEST_ID_REUSED; ForwardToOwner for a forwardable command; CANCELLED, or the signal's reason if it is a CaudalError. After UNAVAILABLE the
   * command may have been done: repeat it with the same command id to find out.
   */
  execute<S, E extends EventCase, R, C>(command: Command<S, E, R, C>): Promise<Executed<R>>;
  /** Runs a command over several streams of the log, like `execute`. Errors: the same, of any of its streams. */
  executeUnit<S, E extends EventCase, R, C>(unit: Unit<S, E, R, C>): Promise<ExecutedUnit<R>>;
  /** The durable state now (strong read). Version 0 if there is no such stream. */
  load<S, E extends EventCase>(decider: Decider<S, E>, id: string): Promise<Decided<S>>;
  /** The state as it was at a moment: after the last event that happened at that moment or before. */
  loadAt<S, E extends EventCase>(decider: Decider<S, E>, id: string, at: Date): Promise<Decided<S>>;
}
