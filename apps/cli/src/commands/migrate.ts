/** `caudal migrate`: a deployment runs it before its processes start. */
import { auditSchema } from '@caudal/audit/migrations.ts';
import { openRecorder } from '@caudal/audit/recorder.ts';
import type { Context } from '@caudal/context/context.ts';
import { makePartitions, missingPartitions } from '@caudal/eventlog/maintenance.ts';
import { vhostOf } from '@caudal/messaging/rabbitmq/connecting.ts';
import { applyPolicies, type PolicyOptions, pendingPolicies } from '@caudal/messaging/rabbitmq/policies.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { migrateAudit, pendingAudit } from '@caudal/server/audit/migrate-audit.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { configuredUrls, migratorOf } from '@caudal/server/database-urls.ts';
import { handlerDefinitions } from '@caudal/server/handlers/definitions.ts';
import { recordSagaStarts } from '@caudal/server/handlers/saga-starts.ts';
import { migrateContext, pendingOf } from '@caudal/server/local-context.ts';
import { awaitMigrated, contextsOf } from '@caudal/server/schema.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';
import { recorded } from '../recorded.ts';
import { UsageError } from '../usage.ts';
import { loadSettings } from '../with-app.ts';

/** The changes made, or with `--check` the pending ones. */
interface Report {
  /** The schemas of contexts, and the audit log's. */
  contexts: ReportedContext[];
  policies: string[];
}

interface ReportedContext {
  context: string;
  migrations: string[];
  partitions: string[];
}

/** Months after the present one whose partitions `--check` requires; the jobs role makes more of them. */
const CHECKED_MONTHS = 1;

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('bring the schemas of DATABASE_URL up to date, and the policies of RabbitMQ')
    .option('--check', 'change nothing; exit code 1 if anything is pending')
    .option('--json', 'print the changes, or the pending ones, as one JSON object')
    .addHelpText(
      'after',
      `
Works as CAUDAL_OWNER_DATABASE_URL if that is set, and grants what the application needs to the user of DATABASE_URL: docs/database-roles.md.
Also makes partitions ahead, and sets the bounds of RabbitMQ's queues if RABBITMQ_MANAGEMENT_URL is set. It is safe to run at
any time, several times at once, and while the system runs. "caudal start" migrates the embedded database.

Example: DATABASE_URL=postgres://caudal:secret@db/caudal caudal migrate`,
    )
    .action(async ({ check = false, json = false }: { check?: boolean; json?: boolean }) => {
      const values = loadSettings();
      if (!values.DATABASE_URL && !values.CAUDAL_OWNER_DATABASE_URL)
        throw new UsageError('DATABASE_URL is not set: "caudal start" migrates the embedded database itself.');
      const urls = configuredUrls(values);
      const { url, application } = check ? { url: urls.ownerUrl ?? urls.url } : await migratorOf(urls);
      const report: Report = { contexts: [], policies: [] };
      for (const context of contextsOf(values)) {
        report.contexts.push(await (check ? pendingIn(url, context) : migrateOne(url, context, application)));
      }
      report.contexts.push(await (check ? pendingAuditIn(url) : migrateAuditLog(url, values, application)));
      if (!check) await recordSagaStarts(url, contextsOf(values), values);
      const policies = await policyOptions(values);
      if (policies) {
        report.policies = await pendingPolicies(policies);
        if (!check) await applyPolicies(policies);
      }
      const parts = [...report.contexts.flatMap((of) => [...of.migrations, ...of.partitions]), ...report.policies];
      if (json) sayJson({ check, upToDate: parts.length === 0, ...report });
      else tell(report, check);
      if (!check) await record(url, values, parts);
      // The processes' user must be able to log in, and to see that everything is there.
      if (application !== undefined)
        await awaitMigrated({
          ...{ url: urls.url, contexts: contextsOf(values), waitMs: 0, signal: new AbortController().signal },
        });
      process.exitCode = check && parts.length > 0 ? 1 : 0;
    });
}

/** Changes that were made are a record of the audit log, which may be there only now. */
async function record(url: string, values: RuntimeValues, changes: string[]): Promise<void> {
  if (changes.length === 0) return;
  const database = openDatabase({ url, schema: auditSchema, poolSize: 1, applicationName: 'caudal-migrate' });
  const audit = openRecorder({ database });
  try {
    await recorded({ audit, values }, { name: 'migrate', resource: changes.join(' ') }, async () => {});
  } finally {
    await audit.stop();
    await database.close();
  }
}

/** A role that owns nothing can't migrate: what PostgreSQL says of that names no setting. */
function asOwnersError(error: unknown): unknown {
  if (sqlState(error) !== '42501') return error;
  const message = `The user of DATABASE_URL does not own the tables (${(error as Error).message}): set CAUDAL_OWNER_DATABASE_URL to the one that does.`;
  return new Error(message, { cause: error });
}

async function migrateAuditLog(url: string, values: RuntimeValues, application?: string): Promise<ReportedContext> {
  return { context: auditSchema, migrations: await migrateAudit(url, values, application), partitions: [] };
}

async function pendingAuditIn(url: string): Promise<ReportedContext> {
  const migrations = (await pendingAudit(url)).map((line) => line.slice(auditSchema.length + 1));
  return { context: auditSchema, migrations, partitions: [] };
}

async function migrateOne(url: string, context: Context, application?: string): Promise<ReportedContext> {
  const migrations = await migrateContext(url, context, application).catch((error: unknown) => {
    throw asOwnersError(error);
  });
  const database = openDatabase({ url, schema: context.name, poolSize: 1, applicationName: 'caudal-migrate' });
  try {
    const partitions = await missingPartitions(database);
    await makePartitions(database);
    return { context: context.name, migrations, partitions };
  } finally {
    await database.close();
  }
}

async function pendingIn(url: string, context: Context): Promise<ReportedContext> {
  const migrations = (await pendingOf(url, [context])).map((line) => line.slice(context.name.length + 1));
  // Pending migrations make partitions too.
  if (migrations.length > 0) return { context: context.name, migrations, partitions: [] };
  const database = openDatabase({ url, schema: context.name, poolSize: 1, applicationName: 'caudal-migrate' });
  try {
    return { context: context.name, migrations, partitions: await missingPartitions(database, CHECKED_MONTHS) };
  } finally {
    await database.close();
  }
}

async function policyOptions(values: RuntimeValues): Promise<PolicyOptions | undefined> {
  const { RABBITMQ_MANAGEMENT_URL: managementUrl, RABBITMQ_URL: url, CAUDAL_NAMESPACE: namespace } = values;
  if (!managementUrl) return undefined;
  // Of all contexts: deployments may have some each, and a policy is one for all.
  const handlers = (await Promise.all(contexts.map((context) => handlerDefinitions(context, values)))).flat();
  const divided = Map.groupBy(
    handlers.filter(({ parts }) => parts > 1),
    ({ parts }) => parts,
  );
  return {
    ...{ managementUrl, vhost: url && vhostOf(url), prefix: namespace ? `${namespace}.` : '' },
    divided: new Map([...divided].map(([parts, of]) => [parts, of.map(({ pattern }) => pattern)])),
  };
}

function tell({ contexts, policies }: Report, check: boolean): void {
  const verb = check ? 'to do' : 'done';
  for (const { context, migrations, partitions } of contexts) {
    const parts = [...migrations, ...partitions.map((name) => `partition ${name}`)];
    say(`${context.padEnd(14)} ${parts.length === 0 ? 'up to date' : `${verb}: ${parts.join(', ')}`}`);
  }
  if (policies.length > 0)
    say(`${'RabbitMQ'.padEnd(14)} ${verb}: ${policies.map((name) => `policy ${name}`).join(', ')}`);
}
