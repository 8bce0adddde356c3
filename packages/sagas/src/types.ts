/** A saga leads something over several steps to an end, or back to nothing. */
import type { Decider } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import type { Observation } from './observe.ts';

/** Something to do: at once, or once a time has come. */
export interface Step {
  /** Names it in logs and metrics. */
  name: string;
  /** Not before this. Undefined: now. */
  dueAt?: Date;
  /**
   * What this step does can only be undone with the facts before it: they are made durable first. (Most steps can be found
   * again from an older state, since they repeat the same commands.)
   */
  afterAppend?: true;
}

/** What a step has to work with. */
export interface StepContext {
  now: Date;
  /** The saga: with the step's own words it makes the ids of the commands, so that a repeat is the same command. */
  sagaId: string;
  /** Says in the events of the commands where they come from. */
  origin: Origin;
  signal: AbortSignal;
}

/**
 * The rules of a saga. Its state is an event stream of its own (`state`), whose events are the facts that it knows;
 * everything it does follows from it.
 *
 * `next` is pure: the one thing to do in a state, or undefined to wait for events. `run` does it: it calls commands of
 * other contexts, with ids derived from the saga, the step and its attempt, and returns the facts to append. It may be run
 * again for the same state after a crash or an unknown outcome, so a command's refusal is a fact and anything transient is
 * thrown.
 */
export interface Saga<S, F extends EventCase> {
  name: string;
  state: Decider<S, F>;
  observes: Observation<S, F>[];
  next(state: S): Step | undefined;
  run(step: Step, state: S, context: StepContext): Promise<F[]>;
}

/** A change of a timer: due then, or not at all. */
export interface TimerChange {
  id: string;
  dueAt: Date | undefined;
  /** How often in a row it was due and could not be done. */
  retries: number;
  /** Of the saga's or the observed stream that it follows from: an older change never undoes a newer one. */
  version: number;
}
