/** Puts a month back from the archive, under the lease of the job that moves months there. */
import type { ContextJob } from '@caudal/context/context.ts';
import { createProgress } from '@caudal/importer/progress.ts';
import { runJobNow } from '@caudal/jobs/run-now.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { App } from '@caudal/server/app.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';
import { asOwner, type OwnersDatabases } from '@caudal/server/roles/as-owner.ts';
import { jobTools } from '@caudal/server/roles/jobs.ts';
import { InvalidArgumentError } from 'commander';
import { say } from './output.ts';
import { UsageError } from './usage.ts';

export const defaultDays = 30;

/** An argument that is a month. */
export function monthName(text: string): string {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw new InvalidArgumentError('It must be a month: 2024-03.');
  return text;
}

/** The error of a command that needs an archive. */
export const noArchive = () => new UsageError('There is no archive: set CAUDAL_ARCHIVE as for the running processes.');

interface RestoreOptions {
  system: App;
  local: LocalContext;
  /** `2024-03` */
  month: string;
  days: number;
  /** What is put back: `events`. */
  what: string;
  /** How to learn which months there are. */
  lists: string;
  /** The job whose lease it takes. */
  job: ContextJob;
  /** Returns how many there are; undefined if the month is not in the archive. */
  work(
    databases: OwnersDatabases,
    run: { signal: AbortSignal; onProgress(progress: { done: number; total: number }): void },
  ): Promise<number | undefined>;
}

/** Says what has become of it. Returns whether the month is back. */
export async function restoreUnderLease(options: RestoreOptions): Promise<boolean> {
  const { system, local, month, days, what, lists } = options;
  const { context } = local;
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  let count: number | undefined;
  const job: ContextJob = {
    ...options.job,
    async run({ database }, { signal, token }) {
      const onProgress = (progress: { done: number; total: number }) =>
        display.update({ step: `${context.name} ${month}`, ...progress });
      count = await asOwner(local, { name: job.name, token, database }, (databases) =>
        options.work(databases, { signal, onProgress }),
      );
    },
  };
  const result = await runJobNow({
    ...{ database: local.database, context: context.name, job, signal: system.lifecycle.ending },
    tools: (database) => jobTools(system, local, database),
  }).finally(() => display.stop());
  if ('heldBy' in result) {
    console.error(`${context.name}.${job.name} runs on ${result.heldBy.runningOn}: try again when it has ended.`);
    return false;
  }
  const { outcome, error } = result.ran;
  if (outcome !== 'succeeded') {
    console.error(
      `${context.name} ${month} was not put back: ${outcome.replace('_', ' ')}${error ? ` (${error})` : ''}`,
    );
    return false;
  }
  if (count === undefined) {
    console.error(`${context.name} ${month} is not in the archive: ${lists}.`);
    return false;
  }
  say(`${context.name} ${month}: ${count} ${what} are in the database again, for ${days} days.`);
  return true;
}
