/**
 * Leads one process on from where its memory stands.
 *
 *   1. Load the memory; ask `react` for the facts in the events at hand.
 *   2. While there is a step due now: run it, add the facts it returns to those in hand.
 *   3. Append all facts in one go, if the memory has not moved meanwhile; else start over at 1. (A step that says so has
 *      the facts before it appended first.)
 *   4. Say when the process must be looked at again.
 *
 * Facts are not appended step by step: every step's commands carry ids that follow from the memory alone, so running
 * steps again after a crash repeats the same commands and gets the same answers. One append for a run of steps is what
 * makes an order cost two appends of memory instead of eight.
 *
 * A step that fails for a transient reason ends the run: what is known is appended, and the step is due again after a
 * pause. So a context that is down holds up only the processes that need it. One that is slow holds up nobody either: who
 * waits for the events is let go as soon as what they brought is durable.
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock, limitedTo } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { ObservedEvent, Saga, Step } from './types.ts';

const log = logger('process');
const steps = counter('saga_steps_total', 'Steps of sagas, by saga, step and outcome: done, transient.', {
  formerly: { name: 'process_steps_total', labels: { saga: 'process' } },
});

/** A process takes no more steps than this in one go: more means that `next` does not get on. */
const MAX_STEPS = 50;
const MAX_STARTS = 5;
const RETRY = { firstMs: 200, maxMs: 30_000 };
const STEP_TIMEOUT_MS = 15_000;
/** As long as a timer's lease: until then whoever has begun the step has either ended it or died. */
const MEANWHILE_MS = 60_000;

class MemoryMoved extends Error {}

export interface Advanced {
  /** When to look again even if no event comes; undefined: not before one does. */
  dueAt: Date | undefined;
  /** How often in a row the step that is due could not be done. */
  retries: number;
  /** The memory's version that this follows from. */
  version: number;
}

type Rest = Omit<Advanced, 'version'>;

export interface AdvanceOptions<S, M extends EventCase> {
  saga: Saga<S, M>;
  aggregates: Aggregates;
  clock: Clock;
  signal: AbortSignal;
}

/** For who waits for the events of a run, but not for its end. */
export interface Patience {
  /** How long it waits, in milliseconds. */
  ms: number;
  /**
   * Called when a step takes longer, and once the facts so far are durable: the events count as handled. The step goes on;
   * if its end is never heard of, the process is to be looked at again as `meanwhile` says.
   */
  letGo(meanwhile: Advanced): void;
}

/** An event to react to, with the observation that knows how. */
export interface Observed<S, M extends EventCase> {
  observation: Saga<S, M>['observes'][number];
  event: ObservedEvent;
  origin: Origin;
}

/**
 * Reacts to `events` and runs what is due. `retries`: how often the step that is due has failed before. Throws what is
 * transient if the memory itself can't be had (UNAVAILABLE, ABORTED), and anything else only as a bug: the caller treats
 * that as the event's failure.
 */
export async function advance<S, M extends EventCase>(
  { saga, aggregates, clock, signal }: AdvanceOptions<S, M>,
  sagaId: string,
  events: Observed<S, M>[],
  retries: number,
  patience?: Patience,
): Promise<Advanced> {
  const origin = events.at(-1)?.origin ?? timerOrigin(saga.name, sagaId);
  const patientUntil = performance.now() + (patience?.ms ?? 0);
  for (let start = 1; ; start++) {
    const memory = await aggregates.load(saga.state, sagaId).catch((error: unknown) => {
      throw isUnreadable(error) ? new Error(`its memory can't be read: ${error.message}`, { cause: error }) : error;
    });
    let { state, version } = memory;
    let facts: M[] = [];
    const remember = (news: M[]) => {
      facts.push(...news);
      state = news.reduce((before, fact) => saga.state.evolve(before, fact, clock()), state);
    };
    try {
      for (const { observation, event } of events) remember(observation.react(state, event));
      const rest = await runSteps();
      await append();
      return { ...rest, version };
    } catch (error) {
      if (!(error instanceof MemoryMoved)) throw error;
      if (start === MAX_STARTS) throw contended(saga.name, sagaId);
    }

    async function runSteps(): Promise<Rest> {
      for (let count = 0; count < MAX_STEPS; count++) {
        const step = saga.next(state);
        if (!step) return { dueAt: undefined, retries: 0 };
        const now = clock();
        if (step.dueAt && step.dueAt > now) return { dueAt: step.dueAt, retries: 0 };
        const attempt = count === 0 ? retries + 1 : 1;
        // A step that notes what fails would note as failed what was never tried.
        if (signal.aborted) return delayed(step, signal.reason, attempt);
        if (step.afterAppend) await append();
        const limit = limitedTo(STEP_TIMEOUT_MS, signal);
        const watch = patience && watchFor(patience);
        try {
          remember(await saga.run(step, state, { now, sagaId, origin, signal: limit.signal }));
          steps.add(1, { saga: saga.name, step: step.name, outcome: 'done' });
        } catch (error) {
          // What was cut short tells nothing of the step, whatever it throws.
          if (!isTransient(error) && !limit.signal.aborted) throw error;
          return delayed(step, error, attempt);
        } finally {
          limit.end();
          await watch?.end();
        }
      }
      throw new Error(`${saga.name} ${sagaId} took ${MAX_STEPS} steps without coming to rest`);
    }

    /** Makes the facts durable and lets the waiting go, unless the step is done in time. */
    function watchFor({ letGo }: Patience) {
      let going: Promise<void> | undefined;
      const timer = setTimeout(
        () => {
          going = append().then(() => letGo({ dueAt: new Date(clock().getTime() + MEANWHILE_MS), retries, version }));
          // Heard at the end; until then it must not count as unhandled.
          going.catch(() => {});
        },
        Math.max(0, patientUntil - performance.now()),
      );
      return {
        async end() {
          clearTimeout(timer);
          await going;
        },
      };
    }

    async function append(): Promise<void> {
      const news = facts;
      // What is remembered while these are on their way is for the next time.
      facts = [];
      if (news.length === 0) return;
      const executed = await aggregates.execute({
        decider: saga.state,
        id: sagaId,
        decide(_state, context) {
          if (context.version !== version) throw new MemoryMoved();
          return news;
        },
        reply: () => undefined,
        replyCodec: noReply,
        origin,
      });
      version = executed.version;
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

/**
 * A memory that a newer version has written to. It may be read elsewhere, or soon, but is no outage: while one of those lasts,
 * all events wait.
 */
function isUnreadable(error: unknown): error is CaudalError {
  return error instanceof CaudalError && error.reason === 'NEWER_VERSION_NEEDED';
}

/** Where a command comes from that no event but the passing of time has caused. */
function timerOrigin(saga: string, id: string): Origin {
  return { actor: `service:${saga}`, causationId: '', correlationId: `${saga}/${id}`, traceparent: '' };
}

/** Others write to the memory all the time: nothing is wrong with the event, so it is not to count as its failure. */
function contended(saga: string, id: string): CaudalError {
  const message = `Too many others lead ${saga} ${id} on at the moment.`;
  return new CaudalError('ABORTED', 'STREAM_CONTENDED', message, { retryAfterMs: 100 });
}
