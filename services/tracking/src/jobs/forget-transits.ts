/** The job that forgets how long parcels took more than a year ago. */
import type { ContextJob } from '@caudal/context/context.ts';
import { forgetTransits } from '../store/transit-sketches.ts';

export const forgetOldTransits: ContextJob = {
  name: 'transit-sketches',
  description: 'Deletes what was learnt from parcels that arrived more than twelve months ago.',
  schedule: '40 3 * * *',
  run: ({ database }) => forgetTransits(database),
};
