/** The job that makes parcels searchable that were there before the search was. */
import type { ContextJob } from '@caudal/context/context.ts';
import { fillPlaces } from '../store/parcel-places.ts';

/** A run lasts so long at most; the next one goes on. */
const runMs = 4 * 60_000;

export const fillParcelPlaces: ContextJob = {
  name: 'parcel-places',
  description: 'Stores where parcels of an earlier version were last, in small steps, until all can be searched.',
  schedule: { everyMs: 300_000 },
  atStart: true,
  async run({ database }, { signal }) {
    const until = performance.now() + runMs;
    while (!signal.aborted && performance.now() < until && !(await database.transaction(fillPlaces)));
  },
};
