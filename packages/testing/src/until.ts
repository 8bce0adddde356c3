/** Waits for a condition, with a bound. */
import { sleep } from '@caudal/kernel/time.ts';

/** Checks every 10 ms until the condition holds. Throws after `withinMs`, with the condition's source text. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await sleep(10);
  }
}
