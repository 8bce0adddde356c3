/**
 * The values of `reason` in errors and events. Each package and context that has some exports them as `reasons` from
 * its `src/reasons.ts`. docs/reference/errors.md is generated from all of them, and test/docs/reasons.test.ts finds
 * reasons in the code that are not declared.
 */
import type { Code } from './errors.ts';

export interface Reason {
  code: Code;
  /** What happened, and what the client can do about it. */
  meaning: string;
}
