/** Time that can be injected, waits that can be ended, and the pauses between attempts. */
import { setTimeout as delay } from 'node:timers/promises';

/** Tells the time; injected wherever a test wants to set it. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

/** Waits. Ends early, without an error, when the signal fires. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await delay(ms, undefined, { signal }).catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
}

export interface Backoff {
  /** Upper bound of the first pause, in milliseconds. */
  firstMs: number;
  /** Upper bound of any pause, in milliseconds. */
  maxMs: number;
}

/**
 * The pause before attempt `attempt` (the first repeat is 1), doubling, with half of it random so that what failed
 * together does not come back together ("equal jitter", AWS Architecture Blog, Exponential Backoff and Jitter).
 */
export function backoffMs(attempt: number, { firstMs, maxMs }: Backoff, random = Math.random): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return bound / 2 + (random() * bound) / 2;
}
