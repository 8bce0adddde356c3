/** A local context is one that runs in this process: its database, its log, and its aggregates over both. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { migrations as aggregateMigrations } from '@caudal/aggregates/migrations.ts';
import type { Self } from '@caudal/aggregates/owner-rows.ts';
import { openOwners } from '@caudal/aggregates/owners.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { Context } from '@caudal/context/context.ts';
import { type PersonalText, protectionsOf } from '@caudal/contract/personal.ts';
import type { Archive } from '@caudal/eventlog/archive/archive.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { openPersonKeys } from '@caudal/eventlog/personal/person-keys.ts';
import { openRowSeals, type RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import { eventOpener, sealingLog, textOpener } from '@caudal/eventlog/personal/sealing-log.ts';
import type { LockConnections } from '@caudal/eventlog/stream-locks.ts';
import type { EventLog, LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { migrations as jobMigrations } from '@caudal/jobs/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { migrations as messagingMigrations } from '@caudal/messaging/migrations.ts';
import { type FollowerRegistry, followerRegistry } from '@caudal/messaging/relay/followers.ts';
import { shareTail } from '@caudal/messaging/subscription/shared-tail.ts';
import { type Database, databaseOf } from '@caudal/postgres/database.ts';
import { migrate, pendingMigrations } from '@caudal/postgres/migrate.ts';
import { migrations as checkpointMigrations } from '@caudal/postgres/migrations.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import type { Pool } from '@caudal/postgres/pool.ts';
import { grantStatement } from '@caudal/postgres/roles.ts';
import { migrations as viewMigrations } from '@caudal/projections/migrations.ts';
import { migrations as sagaMigrations } from '@caudal/sagas/migrations.ts';
import type { PersonalData } from './personal-data.ts';

export interface LocalContext extends Running {
  context: Context;
  database: Database;
  /** Personal texts are sealed in it. */
  log: EventLog;
  /** The log for its readers: all of them in this process share one tail. */
  tail: LogReader;
  /** Where queues register with the log. */
  registry: FollowerRegistry;
  /** Over the log, with personal texts as they are. */
  aggregates: Aggregates;
  /** The same, with `[sealed]` in place of these. */
  sealed: Pick<Aggregates, 'load'>;
  personalData: PersonalData;
  /** Events with their personal texts opened, as far as this process has the keys. */
  openEvents(events: RecordedEvent[]): Promise<RecordedEvent[]>;
  /** The same for texts of views. */
  openTexts(texts: PersonalText[]): Promise<string[]>;
  /** Seals rows of the context's own tables. */
  seals: RowSeals;
  /** Where old months of the log are, if the settings say so. */
  archive: Archive | undefined;
  /** The URL of the role that owns the tables, if this process knows it. */
  ownerUrl: string | undefined;
  /** For how long this process owns a stream of the context from now on; 0 if it does not. */
  ownedMs(stream: string): number;
  /** Stops owning streams. */
  retire(): Promise<void>;
}

/**
 * How long an append is repeated while PostgreSQL is unreachable: a shorter restart goes unnoticed. Most callers wait 5
 * s, so they get UNAVAILABLE rather than DEADLINE_EXCEEDED.
 */
const APPEND_RETRY_MS = 2_000;
/**
 * How long an append waits for the log's head. Shorter than callers wait, since an append that fails there never lands.
 */
const APPEND_LOCK_MS = 3_000;

const commonSets = [
  checkpointMigrations,
  logMigrations,
  aggregateMigrations,
  messagingMigrations,
  sagaMigrations,
  jobMigrations,
  viewMigrations,
];

const setsOf = ({ tables }: Pick<Context, 'tables'>) => (tables ? [...commonSets, tables.migrations] : commonSets);

/**
 * Brings a context's schema up to date, as the role that owns it. Returns the names of the applied migrations. `application`: the role
 * of the processes, if that is another one.
 */
export function migrateContext(url: string, context: Context, application?: string): Promise<string[]> {
  return migrate({ url, schema: context.name, sets: setsOf(context), atEnd: grantStatement(application) });
}

/** The migrations that `migrateContext` would apply: `orders eventlog/001_tables.sql`. */
export async function pendingOf(url: string, contexts: Context[]): Promise<string[]> {
  const pending: string[] = [];
  // One after another, so that a process needs no more connections to start than to work.
  for (const context of contexts) {
    const files = await pendingMigrations({ url, schema: context.name, sets: setsOf(context) });
    pending.push(...files.map((file) => `${context.name} ${file}`));
  }
  return pending;
}

export interface OpenContextOptions {
  /** The pool of the process. Its last context closes it. */
  pool: Pool;
  /** The process's connections for locks of contended streams. The caller closes them. */
  lockConnections: LockConnections;
  archive: Archive | undefined;
  personalData: PersonalData;
  /** The URL of the role that owns the tables, if this process knows it. */
  ownerUrl: string | undefined;
  /** Whether all contexts share one process on a laptop. */
  embedded: boolean;
  /** This process as an owner of contended streams; undefined if others can't reach it. */
  self: Self | undefined;
}

/** Cached idle aggregates of a context. */
const EMBEDDED_CACHE = { cacheSize: 2_000, cacheBytes: 16 * 2 ** 20 };
/** Long, since no other process appends: an idle system shall take next to no processor time. */
const EMBEDDED_POLL_MS = 10_000;

/** Whether events of the context have personal texts. Throws if a state with such texts could outlive an erasure. */
export function keepsPersonalTexts({ deciders }: Pick<Context, 'deciders'>): boolean {
  const personal = deciders.filter(({ entity }) => protectionsOf(entity.name).size > 0);
  const wrong = personal.find(({ snapshot, forgetIdle, keepSealed }) => snapshot || !(forgetIdle || keepSealed));
  if (wrong)
    throw new Error(
      `${wrong.entity.name} has personal fields: its decider needs forgetIdle or keepSealed, and no snapshot (docs/personal-data.md).`,
    );
  return personal.length > 0;
}

/** Opens a context over its schema, which must be up to date. Connects at first use. */
export function openContext(context: Context, options: OpenContextOptions): LocalContext {
  const { pool, lockConnections, archive, personalData, ownerUrl, embedded, self } = options;
  const { url, applicationName } = pool.options;
  const announcedPollMs = embedded ? EMBEDDED_POLL_MS : undefined;
  const database = databaseOf(pool, context.name);
  const appender = openPipeline({ url, applicationName, schema: context.name, lockTimeoutMs: APPEND_LOCK_MS });
  const log = openEventLog({
    database,
    appender,
    lockConnections,
    domain: context.name,
    retryForMs: APPEND_RETRY_MS,
    announcedPollMs,
    archive,
  });
  const owners = self && openOwners({ database, ...self });
  const keys = openPersonKeys({ database, wrapping: personalData.wrapping });
  const sealing = { keys, ...personalData };
  const cache = embedded ? EMBEDDED_CACHE : {};
  const common = { clock: systemClock, ids: newId };
  // Most contexts have nothing to seal.
  const isPersonal = keepsPersonalTexts(context);
  const aggregates = openAggregates({
    log: isPersonal ? sealingLog(log, sealing) : log,
    ...common,
    owners,
    ...cache,
  });
  // It reads only, and only what a query asks it for.
  const sealed = openAggregates({ log, ...common, ...cache });
  return {
    context,
    database,
    log,
    tail: shareTail(log),
    registry: followerRegistry(database, context.name),
    aggregates,
    sealed,
    personalData,
    openEvents: eventOpener(sealing),
    openTexts: textOpener(sealing),
    seals: openRowSeals({ keys, writePlain: personalData.writePlain, place: context.name }),
    archive,
    ownerUrl,
    ownedMs: (stream) => owners?.ownedMs(stream) ?? 0,
    retire: async () => owners?.retire(),
    async stop() {
      await owners?.retire();
      await Promise.all([aggregates.drain(), sealed.drain()]);
      keys.stop();
      await log.stop();
      await Promise.all([appender.close(), database.close()]);
    },
  };
}
