/**
 * One run of a saga, from its present state on.
 *
 *   1. Load the state. The reactions give the facts of the events of this run.
 *   2. While a step is due now: run it, and add the facts that it returns to the unappended ones.
 *   3. Append all facts in one call, if the saga's stream has not moved since; else start again at 1. (For a step with
 *      `afterAppend` the facts before it are appended first.)
 *   4. Return when the saga is due again.
 *
 * Facts are not appended step by step. The ids of a step's commands follow from the state alone, so steps that run
 * again after a crash repeat the same commands and get the same answers. With one append for a run of steps, an order
 * costs two appends of facts instead of eight.
 *
 * A step that fails ends the run: the facts so far are appended. After a transient error the step is due again after
 * a pause; any other one is thrown. So an unreachable context delays only the sagas that need it. A slow context delays no other saga either:
 * `lead` is a generator that yields when a step takes longer than the patience and the facts of the events are durable.
 * Then its caller counts the events as handled, and drives the generator to its end beside the next batches.
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock, limitedTo, within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Concern } from './observe.ts';
import type { Saga, Step } from './types.ts';

const log = logger('saga');
const steps = counter('saga_steps_total', 'Steps of sagas, by saga, step and outcome: done, transient.', {
  formerly: { name: 'process_steps_total', labels: { saga: 'process' } },
});

/** The most steps of one run: more mean that `next` makes no progress. */
const MAX_STEPS = 50;
const MAX_STARTS = 5;
const RETRY = { firstMs: 200, maxMs: 30_000 };
const STEP_TIMEOUT_MS = 15_000;
/** As long as a timer's lease: after it the worker that began the step has either ended it or died. */
const MEANWHILE_MS = 60_000;

/** Another worker has appended facts since the state was loaded. */
class StateMoved extends Error {}

export interface Advanced {
  /** When the saga is due again, even without an event; undefined: only with an event. */
  dueAt: Date | undefined;
  /** How often in a row the due step has failed. */
  retries: number;
  /** The version of the saga's stream that this follows from. */
  version: number;
}

export interface AdvanceOptions<S, F extends EventCase> {
  saga: Saga<S, F>;
  aggregates: Aggregates;
  clock: Clock;
  signal: AbortSignal;
}

/** An event to react to. */
export interface Observed<S, F extends EventCase> extends Pick<Concern<S, F>, 'react'> {
  origin: Origin;
}

/** The input of one run. */
export interface Task<S, F extends EventCase> {
  sagaId: string;
  events: Observed<S, F>[];
  /** How often the due step has failed before. */
  retries: number;
  /** How long a step may take before the run yields, in milliseconds from its start; undefined: for ever. */
  patienceMs?: number;
}

/**
 * A run of a saga. Yields at most once, when a step is slow and the facts so far are durable: the timer to set in case
 * the process dies before the run ends. Returns the timer to set after the run.
 */
export type Run = AsyncGenerator<Advanced, Advanced, void>;

/** The state of a run when its caller need not wait any more: at rest, or in a slow step. */
export type Led =
  | { kind: 'rested'; advanced: Advanced }
  /** The events count as handled. `rest` continues, and its caller must handle its result. */
  | { kind: 'slow'; meanwhile: Advanced; rest: Promise<Advanced> };

/** Drives a run until it rests or yields. */
export async function untilSlow(run: Run): Promise<Led> {
  const first = await run.next();
  if (first.done) return { kind: 'rested', advanced: first.value };
  return { kind: 'slow', meanwhile: first.value, rest: toEnd(run) };
}

/** Drives a run to its end. */
export async function toEnd(run: Run): Promise<Advanced> {
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value;
  }
}

/**
 * Reacts to events and runs the due steps. Throws a transient error if the saga's state can't be read or appended to
 * (UNAVAILABLE, ABORTED). Any other error is a bug, which the caller treats as the event's failure.
 */
export async function* lead<S, F extends EventCase>(options: AdvanceOptions<S, F>, task: Task<S, F>): Run {
  const { saga, clock, signal } = options;
  const { sagaId, events, retries, patienceMs } = task;
  const origin = events.at(-1)?.origin ?? timerOrigin(saga.name, sagaId);
  const patientUntil = performance.now() + (patienceMs ?? 0);
  let isPatient = patienceMs !== undefined;
  for (let start = 1; ; start++) {
    const known = await loadState(options, sagaId, origin);
    try {
      for (const { react } of events) known.add(react(known.state));
      const rest = yield* runSteps(known);
      await known.append();
      return { ...rest, version: known.version };
    } catch (error) {
      if (!(error instanceof StateMoved)) throw error;
      if (start === MAX_STARTS) throw contended(saga.name, sagaId);
    }
  }

  async function* runSteps(known: Known<S, F>): AsyncGenerator<Advanced, Rest, void> {
    for (let count = 0; count < MAX_STEPS; count++) {
      const step = saga.next(known.state);
      if (!step) return { dueAt: undefined, retries: 0 };
      const now = clock();
      if (step.dueAt && step.dueAt > now) return { dueAt: step.dueAt, retries: 0 };
      const attempt = count === 0 ? retries + 1 : 1;
      // Not run with an aborted signal: a step that returns its failure as a fact would record one that was never
      // tried.
      if (signal.aborted) return delayed(step, signal.reason, attempt);
      if (step.afterAppend) await known.append();
      const running = runStep(step, known.state, now);
      if (isPatient && !(await within(Math.max(0, patientUntil - performance.now()), running))) {
        await known.append().catch(async (error: unknown) => {
          // The same step must not run twice at a time.
          await running;
          throw error;
        });
        // Only now: if the state has moved, the run starts again and may still let its caller go.
        isPatient = false;
        yield { dueAt: new Date(clock().getTime() + MEANWHILE_MS), retries, version: known.version };
      }
      const outcome = await running;
      if (outcome.kind === 'failed') {
        // The error of a step that was cut short says nothing about the step.
        if (isTransient(outcome.error) || outcome.isCutShort) return delayed(step, outcome.error, attempt);
        // What the steps before it have done is true all the same. A repeat may come when the other contexts have forgotten it.
        await known.append();
        throw outcome.error;
      }
      known.add(outcome.facts);
      steps.add(1, { saga: saga.name, step: step.name, outcome: 'done' });
    }
    throw new Error(`${saga.name} ${sagaId} took ${MAX_STEPS} steps in one run: its "next" makes no progress`);
  }

  /** Never rejects: it may end while its caller does not wait for it. */
  async function runStep(step: Step, state: S, now: Date): Promise<Outcome<F>> {
    const limit = limitedTo(STEP_TIMEOUT_MS, signal);
    try {
      return { kind: 'done', facts: await saga.run(step, state, { now, sagaId, origin, signal: limit.signal }) };
    } catch (error) {
      return { kind: 'failed', error, isCutShort: limit.signal.aborted };
    } finally {
      limit.end();
    }
  }

  function delayed(step: Step, error: unknown, attempt: number): Rest {
    steps.add(1, { saga: saga.name, step: step.name, outcome: 'transient' });
    const asked = error instanceof CaudalError ? (error.retryAfterMs ?? 0) : 0;
    const pause = Math.max(backoffMs(attempt, RETRY), asked);
    log.debug({ saga: saga.name, step: step.name, attempt, err: error }, 'step delayed');
    // From now, not from when the step began: a step that takes long to fail gets the whole pause too.
    return { dueAt: new Date(clock().getTime() + pause), retries: attempt };
  }
}

type Rest = Omit<Advanced, 'version'>;

type Outcome<F> = { kind: 'done'; facts: F[] } | { kind: 'failed'; error: unknown; isCutShort: boolean };

/** A saga's state with its unappended facts, and the version of its stream that they follow from. */
interface Known<S, F> {
  readonly state: S;
  readonly version: number;
  add(facts: F[]): void;
  /** Appends the unappended facts, if there are any. Throws StateMoved if the stream is no longer at `version`. */
  append(): Promise<void>;
}

async function loadState<S, F extends EventCase>(
  { saga, aggregates, clock }: AdvanceOptions<S, F>,
  sagaId: string,
  origin: Origin,
): Promise<Known<S, F>> {
  const decider = saga.state;
  let { state, version } = await aggregates.load(decider, sagaId).catch((error: unknown) => {
    throw isUnreadable(error) ? new Error(`its state can't be read: ${error.message}`, { cause: error }) : error;
  });
  let unappended: F[] = [];
  return {
    get state() {
      return state;
    },
    get version() {
      return version;
    },
    add(facts) {
      unappended.push(...facts);
      state = facts.reduce((before, fact) => decider.evolve(before, fact, clock()), state);
    },
    async append() {
      const facts = unappended;
      // Facts that are added during the call are for the next append.
      unappended = [];
      if (facts.length === 0) return;
      const executed = await aggregates.execute({
        decider,
        id: sagaId,
        decide(_state, context) {
          if (context.version !== version) throw new StateMoved();
          return facts;
        },
        reply: () => undefined,
        replyCodec: noReply,
        origin,
      });
      version = executed.version;
    },
  };
}

/**
 * Whether only a newer version of the code can read the state. That is no outage: during an outage all events would
 * wait, here only those of this saga.
 */
function isUnreadable(error: unknown): error is CaudalError {
  return error instanceof CaudalError && error.reason === 'NEWER_VERSION_NEEDED';
}

/** The origin of a command that a timer has caused, not an event. */
function timerOrigin(saga: string, id: string): Origin {
  return { actor: `service:${saga}`, causationId: '', correlationId: `${saga}/${id}`, traceparent: '' };
}

/** Other workers keep appending to the saga's stream: transient, so it does not count as the event's failure. */
function contended(saga: string, id: string): CaudalError {
  const message = `Too many workers append to ${saga} ${id} at the moment: try again.`;
  return new CaudalError('ABORTED', 'STREAM_CONTENDED', message, { retryAfterMs: 100 });
}
