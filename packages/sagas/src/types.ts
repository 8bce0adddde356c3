/** A process (saga) leads something over several steps to an end, or back to nothing. */
import type { Decider } from '@caudal/aggregates/types.ts';
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';

/** Something to do: at once, or once a time has come. */
export interface Step {
  /** Names it in logs and metrics. */
  name: string;
  /** Not before this. Undefined: now. */
  dueAt?: Date;
  /**
   * What this step does can only be undone by who knows the facts before it: they are made durable first. (Most steps can
   * be found again from an older memory, since they repeat the same commands.)
   */
  afterAppend?: true;
}

/** An event of another stream, as a process sees it. */
export interface ObservedEvent<E extends EventCase = EventCase> {
  stream: string;
  /** The id within the entity. */
  id: string;
  version: number;
  /** When it happened. */
  at: Date;
  event: E;
}

/** What a process makes of the events of one entity: `observe(payment, {...})` keeps the types together. */
export interface Observation<S, M extends EventCase, E extends EventCase = EventCase> {
  entity: Entity<E>;
  /** The process that the event belongs to; undefined: none. */
  saga(event: ObservedEvent<E>): string | undefined;
  /** The facts to remember. None if the state shows that the event was seen before: it may come again. */
  react(state: S, event: ObservedEvent<E>): M[];
}

/** What a step has to work with. */
export interface StepContext {
  now: Date;
  /** The process: with the step's own words it makes the ids of the commands, so that a repeat is the same command. */
  sagaId: string;
  /** Says in the events of the commands where they come from. */
  origin: Origin;
  signal: AbortSignal;
}

/**
 * The rules of a process. Its memory is an event stream of its own (`memory`); everything it does follows from it.
 *
 * `next` is pure: the one thing to do in a state, or undefined to wait for events. `run` does it: it calls commands of
 * other contexts, with ids derived from the process, the step and its attempt, and returns the facts to remember. It may
 * be run again for the same state after a crash or an unknown outcome, so a command's refusal is a fact and anything
 * transient is thrown.
 */
export interface Saga<S, M extends EventCase> {
  name: string;
  state: Decider<S, M>;
  observes: Observation<S, M>[];
  next(state: S): Step | undefined;
  run(step: Step, state: S, context: StepContext): Promise<M[]>;
}

/** Joins an entity's type to its functions. */
export function observe<S, M extends EventCase, E extends EventCase>(
  entity: Entity<E>,
  functions: Omit<Observation<S, M, E>, 'entity'>,
): Observation<S, M> {
  return { entity, ...functions } as unknown as Observation<S, M>;
}

/** A change of a timer: due then, or not at all. */
export interface TimerChange {
  id: string;
  dueAt: Date | undefined;
  /** How often in a row it was due and could not be done. */
  retries: number;
  /** Of the memory or stream that it follows from: an older change never undoes a newer one. */
  version: number;
}
