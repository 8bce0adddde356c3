import { test } from '@jest/globals';
import type { System } from './system.ts';

/** `test`; a failure's message includes the system's logs. */
export function systemTest(
  system: () => System,
): (title: string, body: () => Promise<void>, timeoutMs?: number) => void {
  return (title, body, timeoutMs) =>
    test(
      title,
      async () => {
        try {
          await body();
        } catch (error) {
          throw system().explain(error);
        }
      },
      timeoutMs,
    );
}
