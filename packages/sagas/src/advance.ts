/**
 * Leads one saga on from where its state stands.
 *
 *   1. Load the state; ask the reactions for the facts in the events at hand.
 *   2. While there is a step due now: run it, add the facts it returns to those in hand.
 *   3. Append all facts in one go, if the saga's stream has not moved meanwhile; else start over at 1. (A step that says so
 *      has the facts before it appended first.)
 *   4. Say when the saga must be looked at again.
 *
 * Facts are not appended step by step: every step's commands carry ids that follow from the state alone, so running steps
 * again after a crash repeats the same commands and gets the same answers. One append for a run of steps is what makes an
 * order cost two appends of facts instead of eight.
 *
 * A step that fails for a transient reason ends the run: what is known is appended, and the step is due again after a
 * pause. So a context that is down holds up only the sagas that need it. One that is slow holds up none either: `lead` is a
 * generator that yields as soon as a step outlasts the patience and what the events brought is durable. Its caller takes the
 * events as handled then, and drives it to its end beside the next ones.
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

/** A saga takes no more steps than this in one go: more means that `next` does not get on. */
const MAX_STEPS = 50;
const MAX_STARTS = 5;
const RETRY = { firstMs: 200, maxMs: 30_000 };
const STEP_TIMEOUT_MS = 15_000;
/** As long as a timer's lease: until then the worker that has begun the step has either ended it or died. */
const MEANWHILE_MS = 60_000;

/** Another worker has appended facts since the state was loaded. */
class StateMoved extends Error {}

export interface Advanced {
  /** When to look again even if no event comes; undefined: not before one does. */
  dueAt: Date | undefined;
  /** How often in a row the step that is due could not be done. */
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

/** What to do with a saga. */
export interface Task<S, F extends EventCase> {
  sagaId: string;
  events: Observed<S, F>[];
  /** How often the step that is due has failed before. */
  retries: number;
  /** How long a step may take before the run yields, in milliseconds from its start; undefined: for ever. */
  patienceMs?: number;
}

/**
 * A run of a saga. Yields at most once, when a step is slow and the facts so far are durable: how the saga is to be looked at
 * again, in case the process dies before the run ends. Returns how it is to be looked at after the run.
 */
export type Run = AsyncGenerator<Advanced, Advanced, void>;

/** How far a run has come without its caller waiting for a slow step. */
export type Led =
  | { kind: 'rested'; advanced: Advanced }
  /** The events count as handled; `rest` goes on beside, and must be looked after. */
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
 * Reacts to events and runs what is due. Throws what is transient if the saga's state can't be had (UNAVAILABLE, ABORTED),
 * and anything else only as a bug: the caller treats that as the event's failure.
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
      // A step that notes what fails would note as failed what was never tried.
      if (signal.aborted) return delayed(step, signal.reason, attempt);
      if (step.afterAppend) await known.append();
      const running = runStep(step, known.state, now);
      if (isPatient && !(await within(Math.max(0, patientUntil - performance.now()), running))) {
        isPatient = false;
        await known.append().catch(async (error: unknown) => {
          // The same step must not run twice at a time.
          await running;
          throw error;
        });
        yield { dueAt: new Date(clock().getTime() + MEANWHILE_MS), retries, version: known.version };
      }
      const outcome = await running;
      if (outcome.kind === 'failed') {
        // What was cut short tells nothing of the step, whatever it throws.
        if (!isTransient(outcome.error) && !outcome.isCutShort) throw outcome.error;
        return delayed(step, outcome.error, attempt);
      }
      known.add(outcome.facts);
      steps.add(1, { saga: saga.name, step: step.name, outcome: 'done' });
    }
    throw new Error(`${saga.name} ${sagaId} took ${MAX_STEPS} steps without coming to rest`);
  }

  /** Never rejects: it may end while nothing waits for it. */
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
    // From now, not from when the step began: a step that takes long to fail is to be left alone just as long.
    return { dueAt: new Date(clock().getTime() + pause), retries: attempt };
  }
}

type Rest = Omit<Advanced, 'version'>;

type Outcome<F> = { kind: 'done'; facts: F[] } | { kind: 'failed'; error: unknown; isCutShort: boolean };

/** A saga's state with the facts in hand, and the version of its stream that they follow from. */
interface Known<S, F> {
  readonly state: S;
  readonly version: number;
  add(facts: F[]): void;
  /** Appends the facts in hand, if there are any. Throws StateMoved if the stream is not at `version` any more. */
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
  let inHand: F[] = [];
  return {
    get state() {
      return state;
    },
    get version() {
      return version;
    },
    add(facts) {
      inHand.push(...facts);
      state = facts.reduce((before, fact) => decider.evolve(before, fact, clock()), state);
    },
    async append() {
      const facts = inHand;
      // What is added while these are on their way is for the next time.
      inHand = [];
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
 * A state that a newer version has added to. It may be read elsewhere, or soon, but is no outage: while one of those lasts,
 * all events wait.
 */
function isUnreadable(error: unknown): error is CaudalError {
  return error instanceof CaudalError && error.reason === 'NEWER_VERSION_NEEDED';
}

/** Where a command comes from that no event but the passing of time has caused. */
function timerOrigin(saga: string, id: string): Origin {
  return { actor: `service:${saga}`, causationId: '', correlationId: `${saga}/${id}`, traceparent: '' };
}

/** Others append to it all the time: nothing is wrong with the event, so it is not to count as its failure. */
function contended(saga: string, id: string): CaudalError {
  const message = `Too many others lead ${saga} ${id} on at the moment.`;
  return new CaudalError('ABORTED', 'STREAM_CONTENDED', message, { retryAfterMs: 100 });
}
