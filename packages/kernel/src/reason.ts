/**
 * What a client may find in an error's `reason`, and in the `reason` of an event. Each package and context that has such
 * words exports them as `reasons` from its `src/reasons.ts`; docs/reference/errors.md is made of all of them, and a test
 * finds words that stand in the code only (test/docs/reasons.test.ts).
 */
import type { Code } from './errors.ts';

export interface Reason {
  code: Code;
  /** What happened, and what the client can do about it. */
  meaning: string;
}
