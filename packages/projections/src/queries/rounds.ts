/**
 * Queries that wait are checked together, in rounds: however many wait, a round makes the same few calls. One round runs
 * at a time. Each waiting query is in a round at once, and then at growing intervals.
 */
import { sleep, within } from '@caudal/kernel/time.ts';

export interface Rounds<T> {
  /** Takes part from now on. */
  add(item: T): void;
  /** Takes part no more. */
  remove(item: T): void;
}

interface Turn {
  dueAt: number;
  pauseMs: number;
}

const firstPauseMs = 5;
const maxPauseMs = 50;
/** A round that takes longer is left to itself: what a store does not answer must not hold up later queries. */
const roundMs = 2_000;
/** Items that are due within this time share a round. */
const groupMs = 2;

/** `check` never throws: it removes the items that need no further round. */
export function openRounds<T>(check: (items: T[]) => Promise<void>): Rounds<T> {
  const turns = new Map<T, Turn>();
  let running = false;
  let woken = new AbortController();

  async function run(): Promise<void> {
    // What is added in this turn of the event loop shares the first round.
    await new Promise((resolve) => setImmediate(resolve));
    while (turns.size > 0) {
      const now = performance.now();
      const due = [...turns].filter(([, { dueAt }]) => dueAt <= now + groupMs);
      if (due.length === 0) {
        woken = new AbortController();
        await sleep(Math.min(...[...turns.values()].map(({ dueAt }) => dueAt)) - now, woken.signal);
        continue;
      }
      for (const [, turn] of due) turn.dueAt = now + turn.pauseMs;
      await within(roundMs, check(due.map(([item]) => item)));
      for (const [, turn] of due) {
        turn.dueAt = performance.now() + turn.pauseMs;
        turn.pauseMs = Math.min(turn.pauseMs * 2, maxPauseMs);
      }
    }
    running = false;
  }

  return {
    add(item) {
      turns.set(item, { dueAt: performance.now(), pauseMs: firstPauseMs });
      woken.abort();
      if (running) return;
      running = true;
      void run();
    },
    remove: (item) => void turns.delete(item),
  };
}
