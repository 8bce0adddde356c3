/**
 * Heavy calls, such as searches and sums, take turns: so many run at once in a process, and a caller has a part of these. Others wait
 * for a while, and the callers that wait are served in turn. So one caller's searches slow down neither cheap calls nor another's search.
 * docs/limits.md, Turns.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { noteRefusal, type Party } from './places.ts';

export interface HeavyTurns {
  /**
   * A turn of this caller: the function that ends it. Rejects with RESOURCE_EXHAUSTED TOO_MANY_HEAVY_CALLS if too many wait, or one
   * does for too long; with the signal's reason once that fires.
   */
  take(party: Party, call: { readonly signal: AbortSignal }): (() => void) | Promise<() => void>;
  /** How many run and wait. */
  counts(): { running: number; waiting: number };
}

export interface HeavyLimits {
  /** Heavy calls that run at once. */
  maxHeavy: number;
}

/** The most that wait: of one caller, of all. */
const callerWaits = 32;
const allWait = 256;
const waitMs = 2_000;

/** Of the turns: a caller has half, one that calls for many leaves the last one to others. At least one each. */
function shareOf({ kind }: Party, all: number): number {
  const share = kind === 'own' || kind === 'any' ? all - 1 : Math.floor(all / 2);
  return Math.max(1, share);
}

interface Waiting {
  party: Party;
  begin(): void;
}

export function openHeavyTurns({ maxHeavy }: HeavyLimits): HeavyTurns {
  /** By caller. */
  const running = new Map<string, number>();
  /** By caller; the one that was served longest ago is the first. */
  const queues = new Map<string, Set<Waiting>>();
  let runs = 0;
  let waits = 0;

  const mayRun = (party: Party) => runs < maxHeavy && (running.get(party.key) ?? 0) < shareOf(party, maxHeavy);

  function run({ key }: Party): () => void {
    runs++;
    running.set(key, (running.get(key) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      runs--;
      const left = running.get(key)! - 1;
      if (left > 0) running.set(key, left);
      else running.delete(key);
      next();
    };
  }

  function drop(one: Waiting): void {
    const queue = queues.get(one.party.key);
    if (!queue?.delete(one)) return;
    waits--;
    if (queue.size === 0) queues.delete(one.party.key);
  }

  /** Begins those that have a turn now. */
  function next(): void {
    for (const [key, queue] of [...queues]) {
      if (runs >= maxHeavy) return;
      const [first] = queue;
      if (!first || !mayRun(first.party)) continue;
      drop(first);
      if (queues.delete(key)) queues.set(key, queue);
      first.begin();
    }
  }

  function wait(party: Party, signal: AbortSignal): Promise<() => void> {
    if ((queues.get(party.key)?.size ?? 0) >= callerWaits || waits >= allWait) throw tooMany();
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    };
    const one: Waiting = {
      party,
      begin() {
        end();
        resolve(run(party));
      },
    };
    const leave = (error: unknown) => {
      end();
      drop(one);
      reject(error);
    };
    const giveUp = () => leave(signal.reason);
    const timer = setTimeout(() => leave(tooMany()), waitMs);
    if (signal.aborted) {
      end();
      throw signal.reason;
    }
    signal.addEventListener('abort', giveUp, { once: true });
    const queue = queues.get(party.key) ?? new Set();
    queues.set(party.key, queue.add(one));
    waits++;
    return promise;
  }

  return {
    take: (party, call) => (mayRun(party) ? run(party) : wait(party, call.signal)),
    counts: () => ({ running: runs, waiting: waits }),
  };
}

function tooMany(): CaudalError {
  noteRefusal('TOO_MANY_HEAVY_CALLS');
  return new CaudalError(
    'RESOURCE_EXHAUSTED',
    'TOO_MANY_HEAVY_CALLS',
    'Too many heavy calls, such as searches, of this caller or of all wait for their turn: wait for the answers to those in flight.',
    { retryAfterMs: Math.round(500 + 1_000 * Math.random()) },
  );
}
