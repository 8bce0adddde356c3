/** `caudal tracking restore-month`: how a month of traces comes back from the archive. */
import { Command } from 'commander';
import { count } from './arguments.ts';
import { defaultDays, monthName, noArchive, restoreUnderLease } from './restore-month.ts';
import { UsageError } from './usage.ts';
import { withApp } from './with-app.ts';

export function restoreTracesCommand(): Command {
  return new Command('restore-month')
    .description('put a month of traces back from the archive into the database')
    .argument('<month>', '"2024-03"', monthName)
    .option('--days <n>', 'how long the job archive-traces leaves it there', count, defaultDays)
    .addHelpText(
      'after',
      `
It runs under the lease of the job archive-traces, so never beside it. If it is interrupted, run it again. The archive keeps its objects.
Exit code 1 if it fails or the job runs.

Example: caudal tracking restore-month 2024-03 --days 90`,
    )
    .action((month: string, { days }: { days: number }) =>
      withApp(
        async (system) => {
          const local = system.locals.find(({ context }) => context.archived && context.name === 'tracking');
          if (!local) throw new UsageError('Tracking is not one of CAUDAL_CONTEXTS.');
          const { archive, context } = local;
          if (!archive) throw noArchive();
          const { job: name, restoreMonth } = context.archived!;
          const restored = await restoreUnderLease({
            ...{ system, local, month, days, what: 'traces' },
            lists: 'the table archived_trace_months has the months that are',
            job: context.jobs!.find((job) => job.name === name)!,
            work: ({ database }, run) => restoreMonth({ database, archive, month, days, ...run }),
          });
          process.exitCode = restored ? 0 : 1;
        },
        { name: 'tracking restore-month', resource: month },
      ),
    );
}
