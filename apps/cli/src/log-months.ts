/** `caudal log months` and `caudal log restore-month`: where the months of the logs are, and how one comes back. */
import { type ListedMonth, listMonths } from '@caudal/eventlog/archive/list-months.ts';
import { restoreMonth } from '@caudal/eventlog/archive/restore-month.ts';
import type { App } from '@caudal/server/app.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';
import { archiving } from '@caudal/server/roles/archiving.ts';
import { Command } from 'commander';
import { count } from './arguments.ts';
import { say, sayJson } from './output.ts';
import { defaultDays, monthName, noArchive, restoreUnderLease } from './restore-month.ts';
import { pick } from './usage.ts';
import { withApp } from './with-app.ts';

const contextOf = ({ locals }: App, name: string): LocalContext =>
  pick('context', name, new Map(locals.map((local) => [local.context.name, local])));

export function monthsCommand(): Command {
  return new Command('months')
    .description('list the months of the logs: whether they are in the database or the archive')
    .argument('[context]', '"orders"; all contexts if absent')
    .option('--json', 'one JSON object per line, for each month')
    .addHelpText('after', '\nExample: caudal log months orders')
    .action((context: string | undefined, { json = false }: { json?: boolean }) =>
      withApp(async (system) => {
        for (const local of context ? [contextOf(system, context)] : system.locals) {
          const { name } = local.context;
          for (const month of await listMonths(local.database))
            if (json) sayJson({ context: name, ...month });
            else say(line(name, month));
        }
      }),
    );
}

function line(
  context: string,
  { month, where, from, events, databaseBytes, archiveBytes, ...more }: ListedMonth,
): string {
  const { archivedAt, staysUntil, formerPaths } = more;
  return [
    `${context} ${month}  ${where.padEnd(9)} ${events} events from position ${from}`,
    ...(databaseBytes > 0 ? [`${size(databaseBytes)} in the database`] : []),
    ...(archiveBytes > 0 ? [`${size(archiveBytes)} in the archive since ${archivedAt!.toISOString()}`] : []),
    ...(staysUntil ? [`stays until ${staysUntil.toISOString()}`] : []),
    ...formerPaths.map((path) => `backups may need ${path}`),
  ].join(', ');
}

const size = (bytes: number) =>
  bytes < 2 ** 20 ? `${Math.ceil(bytes / 1_024)} kB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;

export function restoreMonthCommand(): Command {
  return new Command('restore-month')
    .description('put a month back from the archive into the database')
    .argument('<context>', '"orders"')
    .argument('<month>', '"2024-03"', monthName)
    .option('--days <n>', 'how long the job archive-months leaves it there', count, defaultDays)
    .addHelpText(
      'after',
      `
It runs under the lease of the job archive-months, so never beside it. If it is interrupted, run it again: it goes on where it was.
The archive keeps its objects. Exit code 1 if it fails or the job runs.

Example: caudal log restore-month orders 2024-03 --days 90`,
    )
    .action((context: string, month: string, { days }: { days: number }) =>
      withApp(
        async (system) => {
          process.exitCode = (await restore(system, contextOf(system, context), month, days)) ? 0 : 1;
        },
        { name: 'log restore-month', resource: `${context} ${month}` },
      ),
    );
}

function restore(system: App, local: LocalContext, month: string, days: number): Promise<boolean> {
  const { context, archive } = local;
  if (!archive) throw noArchive();
  return restoreUnderLease({
    ...{ system, local, month, days, what: 'events', lists: `"caudal log months ${context.name}" lists the months` },
    job: archiving(local, system.values),
    work: (databases, run) => restoreMonth({ ...databases, archive, domain: context.name, month, days, ...run }),
  });
}
