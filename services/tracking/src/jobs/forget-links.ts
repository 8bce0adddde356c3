/** The job that deletes public links that have ended. */
import type { ContextJob } from '@caudal/context/context.ts';
import { deleteEndedLinks } from '../store/parcel-links.ts';

export const forgetEndedLinks: ContextJob = {
  name: 'parcel-links',
  description: 'Deletes public links to parcels that have ended.',
  schedule: '50 3 * * *',
  async run({ database }, { now, signal }) {
    const isDone = async () => (await database.transaction((tx) => deleteEndedLinks(tx, now))) === 0 || signal.aborted;
    while (!(await isDone()));
  },
};
