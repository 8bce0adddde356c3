/** An aggregate is a stream and the rules that decide what may be added to it. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import type { CommandId, Origin } from '@caudal/kernel/context.ts';

/** The rules: pure, no I/O, no clock. */
export interface Decider<S, E extends EventCase> {
  entity: Entity<E>;
  /** The state before the first event. States are never changed in place. */
  initial: S;
  /** The state after an event. `at`: when the event happened, by the clock of the command that decided it. */
  evolve(state: S, event: E, at: Date): S;
  /** Whose resource it is; undefined before there is one. */
  owner?(state: S): string | undefined;
  /**
   * When states are worth keeping: after `every` n events at the least, or as many as the state says, which may be large
   * (and never so often that it takes more than 2 % of a process's time); `schemaVersion` changes with the state's shape.
   * Of plain data, `Map`, `Set`, `Date` and `bigint`.
   */
  snapshot?: { every: number | ((state: S) => number); schemaVersion: number };
  /** About how many bytes the state takes in memory, where that can be many: by it the cache is bounded. */
  bytes?(state: S): number;
}

/** What a command sees of the world. */
export interface DecisionContext {
  now: Date;
  /** The stream's version that is decided on; 0 if it does not exist. */
  version: number;
}

/** A stream's state after a command. */
export interface Decided<S> {
  state: S;
  version: number;
}

export interface Command<S, E extends EventCase, R> {
  decider: Decider<S, E>;
  /** The id of the stream within its entity. */
  id: string;
  /** Decides. Returns what happens, maybe nothing; throws CaudalError to refuse. Called again if the state was stale. */
  decide(state: S, context: DecisionContext): E[];
  /** The answer, from the state after the events. Kept, so that a repeat of the command gets the same. */
  reply(after: Decided<S>): R;
  /** How the answer is kept. */
  replyCodec: { encode(reply: R): { finish(): Uint8Array }; decode(data: Uint8Array): R };
  /** Without it the command can't be repeated safely. */
  commandId?: CommandId;
  origin: Origin;
  /** Called with the resource's owner before anything is decided; throws to refuse. */
  authorize?(owner: string | undefined): void;
  /** Takes the command back while it is not decided; once it is, its outcome is awaited. */
  signal?: AbortSignal;
}

/** The answer, and what a reader must wait for to see it. */
export interface Executed<R> {
  reply: R;
  stream: string;
  version: number;
  /** Whether this is the answer to an earlier call with the same command id. */
  repeated: boolean;
}

/** Aggregates of one context, over its log. */
export interface Aggregates {
  /**
   * Runs a command. Commands of one stream take turns in memory and share commits; no answer, refusals included, leaves
   * before the state that it was decided on is durable. Errors: what `decide` throws; ABORTED if the stream is too
   * contended; UNAVAILABLE if the log can't be reached; RESOURCE_EXHAUSTED if the stream's queue is full;
   * INVALID_ARGUMENT REQUEST_ID_REUSED; CANCELLED, or the signal's reason if it is a CaudalError. After UNAVAILABLE the
   * command may have been done: only its repeat under the same command id tells.
   */
  execute<S, E extends EventCase, R>(command: Command<S, E, R>): Promise<Executed<R>>;
  /** The durable state now (strong read). Version 0 if there is no such stream. */
  load<S, E extends EventCase>(decider: Decider<S, E>, id: string): Promise<Decided<S>>;
  /** The state as it was at a moment: after the last event that happened at or before it. */
  loadAt<S, E extends EventCase>(decider: Decider<S, E>, id: string, at: Date): Promise<Decided<S>>;
}
