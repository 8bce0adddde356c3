import { test } from '@jest/globals';
import type { System } from './system.ts';

/** `test`, whose failure tells what the system has logged. */
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
