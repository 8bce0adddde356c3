/** The job that moves old months of traces to the archive: docs/tracking-archive.md. */
import type { ContextJob } from '@caudal/context/context.ts';
import { archiveTraces } from '../archive/archive-months.ts';
import type { TrackingSettings } from '../settings.ts';

const name = 'archive-traces';

export const archiveOldTraces: ContextJob<TrackingSettings> = {
  name,
  description:
    'Moves old months of traces to the archive, if CAUDAL_ARCHIVE names one, after it has read them back from there.',
  schedule: '20 2 * * *',
  timeoutMs: 12 * 3_600_000,
  async run({ archiving, ids, settings }, { signal, token, now }) {
    if (!archiving) return;
    const { archive } = archiving;
    const afterMonths = settings.TRACKING_ARCHIVE_AFTER_MONTHS;
    await archiving.asOwner({ name, token, signal }, (database) =>
      archiveTraces({ database, archive, ids, now, afterMonths, signal }),
    );
  },
};
