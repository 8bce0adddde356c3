/** Runs a saga to its end, for tests of one saga without its handler. */
import type { EventCase } from '@caudal/contract/entity.ts';
import { type Advanced, type AdvanceOptions, lead, type Observed, toEnd } from '../advance.ts';

/** Reacts to events and runs the due steps to the end. Throws as `lead` does. */
export function advance<S, F extends EventCase>(
  options: AdvanceOptions<S, F>,
  sagaId: string,
  events: Observed<S, F>[],
  retries: number,
): Promise<Advanced> {
  return toEnd(lead(options, { sagaId, events, retries }));
}
