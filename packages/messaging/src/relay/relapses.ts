/** How often queues have broken again after their return, and how long each waits for the next. */

const firstPauseMs = 2_000;
const relapsePauseMs = 20_000;
const maxPauseMs = 300_000;
/** After this long without a relapse, earlier ones are forgotten. */
const memoryMs = 600_000;

export type Relapses = ReturnType<typeof openRelapses>;

/** Kept for as long as a process relays a log: it outlives the times in which the relay leads. */
export function openRelapses() {
  const returns = new Map<string, { count: number; at: number }>();

  function countOf(queue: string): number {
    const now = performance.now();
    for (const [name, { at }] of returns) if (now - at > memoryMs) returns.delete(name);
    return returns.get(queue)?.count ?? 0;
  }

  return {
    /** A queue was bound again. If it breaks soon, that is a relapse. */
    returned(queue: string): void {
      returns.set(queue, { count: countOf(queue) + 1, at: performance.now() });
    },
    /** The pause before a queue that is broken is probed for the first time. */
    pauseMs(queue: string): number {
      const count = countOf(queue);
      return count === 0 ? firstPauseMs : Math.min(maxPauseMs, relapsePauseMs * 2 ** (count - 1));
    },
  };
}
