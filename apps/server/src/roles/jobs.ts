/** The jobs role: runs its contexts' jobs and the maintenance of their logs, and reads their gauges. */
import { dropExpired, makeMonths } from '@caudal/audit/maintenance.ts';
import type { Settings } from '@caudal/config/config.ts';
import type { ContextJob, JobTools } from '@caudal/context/context.ts';
import { domainsOf } from '@caudal/contract/entity.ts';
import { isUpgradeEnded, maintainLog } from '@caudal/eventlog/maintenance.ts';
import { rewrapPersonKeys } from '@caudal/eventlog/personal/rewrap.ts';
import { checkJobs } from '@caudal/jobs/check-jobs.ts';
import { runJobs } from '@caudal/jobs/jobs.ts';
import type { GuardedDatabase, JobRun } from '@caudal/jobs/types.ts';
import { openViews } from '@caudal/projections/queries/views.ts';
import type { Projection, Views } from '@caudal/projections/types.ts';
import { endCursors } from '@caudal/sagas/cursor-ends.ts';
import { observeGauge } from '@caudal/telemetry/observed-gauge.ts';
import type { App } from '../app.ts';
import { sagaDefinitions } from '../handlers/definitions.ts';
import type { LocalContext } from '../local-context.ts';
import { archiving, archivingTools } from './archiving.ts';

/** A run has 5 s to end after its signal; in addition its record may wait for the database. */
const STOP_MS = 20_000;

export function startJobs(app: App): void {
  for (const local of app.locals) {
    const { context, database } = local;
    const jobs = runJobs({
      database,
      context: context.name,
      jobs: jobsOf(app, local),
      holder: app.holder,
      tools: (guarded) => jobTools(app, local, guarded),
    });
    app.lifecycle.addCheck(`jobs of ${context.name}`, 'live', jobs.problem);
    app.lifecycle.onStop(`jobs of ${context.name}`, () => jobs.stop(), { timeoutMs: STOP_MS });
    startGauges(app, local);
  }
}

/** The jobs of a context: its own, and those of every context. Throws an Error if two have the same name. */
export function jobsOf(app: App, local: LocalContext): ContextJob[] {
  const { context, database: plain, personalData } = local;
  const maintenance: ContextJob = {
    name: 'log-maintenance',
    description:
      "Makes the log's partitions ahead, and drops claims that have expired, such as command ids after 30 days.",
    schedule: { everyMs: 3_600_000 },
    // After months without a run, the partitions must be made before the first append.
    atStart: true,
    async run({ database }, { signal }) {
      await maintainLog({ database, plain, domain: context.name, signal });
      // One audit log for all contexts of the database: any of them will do, and it does no harm twice.
      if (local !== app.locals[0]) return;
      await database.transaction(makeMonths);
      await database.transaction(dropExpired);
    },
  };
  const cursorEnds: ContextJob = {
    name: 'saga-cursors',
    description: 'Deletes what sagas remember of streams of which nothing has happened for a day.',
    schedule: { everyMs: 3_600_000 },
    run: ({ database }, run) => endSagaCursors(app, local, database, run),
  };
  const personKeys: ContextJob = {
    name: 'person-keys',
    description: 'Wraps the keys of persons anew after CAUDAL_PERSONAL_DATA_KEYS has got another first key.',
    schedule: { everyMs: 3_600_000 },
    atStart: true,
    async run({ database }, { signal }) {
      const { wrapping } = personalData;
      if (wrapping) await rewrapPersonKeys({ database, domain: context.name, wrapping, signal });
    },
  };
  const jobs = [maintenance, archiving(local, app.values), cursorEnds, personKeys, ...(context.jobs ?? [])];
  checkJobs(context.name, jobs);
  return jobs;
}

/** See docs/bounds.md, Cursors end. */
async function endSagaCursors(
  app: App,
  { context }: LocalContext,
  database: GuardedDatabase,
  { now, signal }: JobRun,
): Promise<void> {
  // A process of version 0.2 would take a stream without a cursor for a new one.
  if (!(await isUpgradeEnded(database))) return;
  for (const handler of await sagaDefinitions(context, app.values)) {
    if (signal.aborted) return;
    const logs = app.logsFor(context, domainsOf(handler.entities));
    await endCursors({ database, handler, logs, now, signal });
  }
}

/** The tools of a run of a context's job. */
export function jobTools(app: App, local: LocalContext, database: GuardedDatabase): JobTools<Settings> {
  return {
    ...app.toolsOf(local),
    ...{ database, log: local.log, archiving: archivingTools(local, database) },
    views: (projection) => viewsOf(app, local, projection),
  };
}

/** Only processes with this role read gauges, so the others do not repeat the same query. */
function startGauges(app: App, local: LocalContext): void {
  const { aggregates, clock, settings } = app.toolsOf(local);
  const tools = {
    ...{ aggregates, clock, settings },
    database: { query: local.database.query },
    views: <V>(projection: Projection<V>) => viewsOf(app, local, projection),
  };
  for (const { read, ...gauge } of local.context.gauges ?? []) {
    const observed = observeGauge({ ...gauge, read: (signal) => read(tools, { signal }) });
    app.lifecycle.onStop(`gauge ${gauge.name}`, () => observed.stop());
  }
}

function viewsOf<V>({ stores }: App, { context, database }: LocalContext, projection: Projection<V>): Views<V> {
  const definition = context.projections.find((candidate) => candidate.projection === projection);
  if (!definition) throw new Error(`${projection.name} is not a projection of ${context.name}.`);
  return openViews({ projection, store: stores.viewsToQuery(context, definition.store, database) });
}
