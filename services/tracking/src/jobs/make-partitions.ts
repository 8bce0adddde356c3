/** The job that makes the months of the trace store ahead. */
import type { ContextJob } from '@caudal/context/context.ts';

export const makePartitions: ContextJob = {
  name: 'trace-partitions',
  description: "Makes the trace store's partitions of the next months.",
  schedule: { everyMs: 3_600_000 },
  // After months without a run.
  atStart: true,
  run: ({ database }) =>
    database.transaction(async (tx) => {
      await tx.query({ text: 'SELECT make_trace_partitions()' });
    }),
};
