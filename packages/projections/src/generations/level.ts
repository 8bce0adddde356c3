/** A new generation keeps up with the logs, until queries read it. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type Clock, sleep, within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Collection } from '../stores/store.ts';
import type { Filling } from './fill.ts';

/** Between two reads of the logs before the switch. */
const pollMs = 50;
/** If a round of filling takes less, the generation is level with the logs. */
const levelMs = 300;
const maxRounds = 100;
const log = logger('rebuild');

/**
 * Fills until a round takes less than 300 ms: after the announcement, new events must be folded in in time. Each round
 * has only the events that arrived during the one before.
 */
export async function drawLevel(filling: Filling): Promise<void> {
  for (let round = 1; round <= maxRounds; round++) {
    const begun = performance.now();
    await filling.fill();
    if (performance.now() - begun < levelMs) return;
  }
  const message = 'Events arrive faster than the store takes them into the new views: rebuild when there is less load.';
  throw new CaudalError('FAILED_PRECONDITION', 'REBUILD_TOO_SLOW', message);
}

/**
 * Folds in new events until queries read the new generation, and makes them visible. Never throws. A batch in flight at
 * the switch may be written after it: readers of a new generation count on that (`isSettled`).
 */
export async function stayLevel(context: {
  from: number;
  filling: Filling;
  collection: Collection;
  clock: Clock;
  signal: AbortSignal;
}): Promise<void> {
  const { from, filling, collection, clock, signal } = context;
  const left = () => Math.max(0, from - clock().getTime());
  const switched = new AbortController();
  const round = async () => {
    const before = filling.events();
    await filling.fill(switched.signal);
    // Otherwise Elasticsearch would show them up to a second later.
    if (filling.events() > before) await collection.refresh();
  };
  try {
    while (left() > 0) {
      if (!(await within(left(), round(), signal))) break;
      await sleep(pollMs, signal);
    }
  } catch (error) {
    log.warn({ err: error }, 'new events before the switch are left to the consumers');
  }
  await sleep(left(), signal);
  switched.abort();
}
