/** A saga leads something over several steps to its end, or undoes it. */
import type { Decider } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import type { Observation } from './observe.ts';

/** Something to do, at once or from a certain time on. */
export interface Step {
  /** Names it in logs and metrics. */
  name: string;
  /** Not before this. Undefined: now. */
  dueAt?: Date;
  /**
   * Set if this step can only be undone with the facts before it: they are made durable first. (Most steps don't need
   * it, since they repeat the same commands from an older state.)
   */
  afterAppend?: true;
}

/** The context of a step. */
export interface StepContext {
  now: Date;
  /** The saga's id. Command ids are made of it and of the step's name, so that a repeat is the same command. */
  sagaId: string;
  /** The origin that is recorded in the events of the commands. */
  origin: Origin;
  signal: AbortSignal;
}

/**
 * The rules of a saga. Its state is an event stream of its own (`state`), whose events are the facts that the saga
 * knows. Everything that it does follows from this state.
 *
 * `next` is pure: the next step in a state, or undefined to wait for events. `run` does the step: it calls commands of
 * other contexts, with ids derived from the saga, the step and its attempt, and returns the facts to append. It may run
 * again for the same state after a crash or an unknown outcome. So it returns a command's refusal as a fact, and throws
 * transient errors.
 */
export interface Saga<S, F extends EventCase> {
  name: string;
  state: Decider<S, F>;
  observes: Observation<S, F>[];
  /**
   * Into how many parts its events are divided where there is a broker, so that as many processes can share the work: 1,
   * 2, 4, 8 or 16; 1 if absent. It may be raised at any time.
   */
  parts?: number;
  /** `start`: if it has not run before, it reacts to all events there are. Absent: only to those from now on. */
  from?: 'start';
  next(state: S): Step | undefined;
  run(step: Step, state: S, context: StepContext): Promise<F[]>;
}

/** A change of a timer: due at that time, or unset. */
export interface TimerChange {
  id: string;
  dueAt: Date | undefined;
  /** How often in a row it was due and has failed. */
  retries: number;
  /** The version of the saga's, or the observed, stream that it follows from: older changes never undo newer ones. */
  version: number;
}
