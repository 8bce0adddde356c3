/**
 * Whether the broker is coming back. When its nodes return, some queues have a leader again seconds before others: until
 * then, a queue that does not confirm is not broken. Kept for as long as a process relays a log.
 */

/** An election takes a few seconds, on busy machines too. */
const graceMs = 10_000;

export type Recovery = ReturnType<typeof openRecovery>;

/** `now` is for tests: milliseconds of a clock that never goes back. */
export function openRecovery(now: () => number = () => performance.now()) {
  let ill = false;
  let partlySince: number | undefined;
  const end = () => {
    ill = false;
    partlySince = undefined;
  };
  return {
    /** No queue confirms, or the broker can't be reached. */
    isIll(): void {
      ill = true;
      partlySince = undefined;
    },
    /** Everything confirms. */
    isOver: end,
    /** Some queues confirm and others do not: whether that may still be the broker's return, for 10 s at most. */
    isReturning(): boolean {
      if (!ill) return false;
      partlySince ??= now();
      if (now() - partlySince < graceMs) return true;
      end();
      return false;
    },
  };
}
