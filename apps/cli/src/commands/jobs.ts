/** `caudal jobs`: lists jobs with their last runs, and runs one now. */
import type { ContextJob } from '@caudal/context/context.ts';
import { dueAt, scheduleText } from '@caudal/jobs/due.ts';
import { type JobRecord, readJobs, removeJob } from '@caudal/jobs/job-store.ts';
import { LEASE_MS } from '@caudal/jobs/jobs.ts';
import { runJobNow } from '@caudal/jobs/run-now.ts';
import type { App } from '@caudal/server/app.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';
import { addCommands } from '@caudal/server/roles/command.ts';
import { jobsOf, jobTools } from '@caudal/server/roles/jobs.ts';
import { addQueries } from '@caudal/server/roles/query.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';
import { pick, UsageError } from '../usage.ts';
import { withApp } from '../with-app.ts';

/** How often `run` reports that the job still runs. */
const PROGRESS_MS = 5_000;

export function jobsCommand(): Command {
  return new Command('jobs')
    .description('scheduled work: making partitions ahead, nightly checks')
    .addCommand(
      new Command('list')
        .description('list all jobs: schedule, last run, when it is due, and where it runs')
        .option('--json', 'one JSON object per line, for each job')
        .addHelpText(
          'after',
          `
Times are UTC. A job that the code no longer declares is shown as such; "caudal jobs remove" deletes its record.

Example: caudal jobs list`,
        )
        .action(({ json = false }: { json?: boolean }) => withApp((system) => list(system, json))),
    )
    .addCommand(
      new Command('run')
        .description('run a job now, even if it is not due')
        .argument('<job>', 'context and name: "payments.check-wallets"')
        .option('--json', 'print the outcome as one JSON object')
        .addHelpText(
          'after',
          `
The job runs inside the command, under its usual lease, so never beside another run of it. Exit code 1 if it fails or runs
elsewhere. A run that a signal ends counts as interrupted, and a process with the role jobs repeats it a minute later.

Example: caudal jobs run payments.check-wallets`,
        )
        .action((name: string, { json = false }: { json?: boolean }) =>
          withApp(
            async (system) => {
              process.exitCode = (await run(system, name, json)) ? 0 : 1;
            },
            { name: 'jobs run', resource: name },
          ),
        ),
    )
    .addCommand(
      new Command('remove')
        .description('delete the record of a job that the code no longer declares')
        .argument('<job>', 'context and name: "payments.check-wallets"')
        .addHelpText('after', '\nExample: caudal jobs remove payments.old-check')
        .action((name: string) => withApp((system) => remove(system, name), { name: 'jobs remove', resource: name })),
    );
}

interface Listed {
  job: string;
  local: LocalContext;
  /** Undefined: the code does not declare it. */
  declared: ContextJob | undefined;
  /** Undefined: no process with the role jobs has started since it was declared. */
  record: JobRecord | undefined;
  now: Date;
}

async function jobsIn(system: App): Promise<Listed[]> {
  const found = await Promise.all(
    system.locals.map(async (local): Promise<Listed[]> => {
      const { now, records } = await readJobs(local.database, LEASE_MS);
      const declared = new Map(jobsOf(system, local).map((job) => [job.name, job]));
      return [...new Set([...declared.keys(), ...records.keys()])].map((name) => ({
        job: `${local.context.name}.${name}`,
        ...{ local, declared: declared.get(name), record: records.get(name), now },
      }));
    }),
  );
  return found.flat();
}

async function list(system: App, json: boolean): Promise<void> {
  for (const { job, local, declared, record, now } of await jobsIn(system)) {
    const due = declared && record && dueAt(declared.schedule, record, now);
    if (json) {
      const { name: _, held: running, epoch: runs, leaseUntil: __, ...rest } = record ?? {};
      const schedule = declared ? scheduleText(declared.schedule) : null;
      sayJson({
        ...{ job, context: local.context.name, declared: declared !== undefined, schedule },
        ...{ description: declared?.description, running: false, nextDueAt: running ? null : (due ?? null) },
        ...(record && { running, runs, durationSeconds: secondsOf(record), ...rest }),
      });
      continue;
    }
    say(
      `${job}  ${declared ? scheduleText(declared.schedule) : 'no longer declared: "caudal jobs remove" deletes it'}`,
    );
    say(`      ${lastRun(record)}`);
    if (record?.held) say(`      runs on ${record.runningOn}, since ${record.lastStartedAt?.toISOString()}`);
    else if (due) say(`      next due ${due <= now ? 'now' : due.toISOString()}`);
  }
}

function lastRun(record: JobRecord | undefined): string {
  if (!record?.lastOutcome) return record?.held ? 'runs for the first time' : 'has not run yet';
  const { lastOutcome, lastEndedAt, lastError, failuresInRow, runningOn } = record;
  const seconds = secondsOf(record);
  return [
    `last ${lastOutcome.replace('_', ' ')}${lastEndedAt ? ` ${lastEndedAt.toISOString()}` : ''}`,
    ...(seconds === null ? [] : [`took ${seconds.toFixed(1)} s`]),
    ...(record.held ? [] : [`on ${runningOn}`]),
    ...(failuresInRow > 1 ? [`${failuresInRow} failures in a row`] : []),
    ...(lastError ? [lastError] : []),
  ].join('; ');
}

/** Null while the job runs, and if the last run has recorded no end. */
function secondsOf({ lastStartedAt, lastEndedAt }: JobRecord): number | null {
  if (!lastStartedAt || !lastEndedAt || lastEndedAt < lastStartedAt) return null;
  return (lastEndedAt.getTime() - lastStartedAt.getTime()) / 1_000;
}

async function run(system: App, name: string, json: boolean): Promise<boolean> {
  const jobs = new Map(
    system.locals.flatMap((local) =>
      jobsOf(system, local).map((job) => [`${local.context.name}.${job.name}`, { local, job }] as const),
    ),
  );
  const { local, job } = pick('job', name, jobs);
  // A job may call commands of its own and of other contexts: those that this process can serve are called inside it.
  addCommands(system);
  addQueries(system);
  console.error(`Running ${name}: ${job.description}`);
  const began = performance.now();
  const progress = setInterval(() => {
    console.error(`${name}: runs for ${Math.round((performance.now() - began) / 1_000)} s`);
  }, PROGRESS_MS);
  const result = await runJobNow({
    ...{ database: local.database, context: local.context.name, job, signal: system.lifecycle.ending },
    tools: (database) => jobTools(system, local, database),
  }).finally(() => clearInterval(progress));
  if ('heldBy' in result) {
    const { runningOn, lastStartedAt } = result.heldBy;
    if (json) sayJson({ job: name, outcome: 'runs_elsewhere', runningOn, since: lastStartedAt });
    console.error(
      `${name} runs already, on ${runningOn}, since ${lastStartedAt?.toISOString()}. Wait for its end: "caudal jobs list" shows it.`,
    );
    return false;
  }
  const { outcome, error, seconds } = result.ran;
  if (json) sayJson({ job: name, outcome, seconds, error: error ?? null });
  else say(`${name}: ${outcome.replace('_', ' ')} after ${seconds.toFixed(1)} s${error ? ` (${error})` : ''}`);
  return outcome === 'succeeded';
}

async function remove(system: App, name: string): Promise<void> {
  const listed = new Map((await jobsIn(system)).map((each) => [each.job, each]));
  const { local, declared, record } = pick('job', name, listed);
  if (declared)
    throw new UsageError(`${name} is declared: only a job that the code no longer declares can be removed.`);
  if (!(await removeJob(local.database, record!.name)))
    throw new Error(`${name} is running on ${record!.runningOn}. Remove it when it has ended.`);
  say(`${name}: removed.`);
}
