/**
 * Moves old months of traces from the database to the archive. It can be killed at any point, and the next run goes on.
 * docs/tracking-archive.md has the steps, and what may happen between them.
 */
import { NoObject } from '@caudal/archive-store/types.ts';
import type { Archiving } from '@caudal/context/context.ts';
import { type Archive, maybeCopy } from '@caudal/eventlog/archive/archive.ts';
import { longestManifest, manifestName, parseManifest } from '@caudal/eventlog/archive/manifest.ts';
import { waitBriefly } from '@caudal/eventlog/archive/partitions.ts';
import { checkFiles } from '@caudal/eventlog/archive/sorted-file.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { isBusyError } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { archivedBytes, archivedTraces } from '../metrics.ts';
import { type ExportedTraces, exportTraces, type TraceManifest, verifyTraces } from './export-month.ts';
import { type ArchivedPart, firstDay, formerTableOf, selectDue, selectUndropped, tableOf } from './months.ts';

/** Its transactions commit only while the run holds its lease. */
export type OwnersDatabase = Parameters<Parameters<Archiving['asOwner']>[1]>[0];

const log = logger('trace-archive');

/** The switch waits a second for statements that use the traces, and others wait behind it: then they get some time. */
const triesAtMost = 5;
const pauseMs = 1_000;

export const steps = ['export', 'verify', 'switch', 'drop'] as const;
export type Step = (typeof steps)[number];

export interface ArchiveTracesOptions {
  /** Of the tables' owner. `transaction` commits only while the run holds the job's lease. */
  database: OwnersDatabase;
  archive: Archive;
  ids: IdSource;
  now: Date;
  /** So many whole months before the present one stay. */
  afterMonths: number;
  signal: AbortSignal;
  /** For tests: called with each step before it is done. */
  onStep?(step: Step, month: string): void | Promise<void>;
}

interface Due {
  month: string;
  part: number;
}

/** An archive or a database that can't be reached, or the end of the run: no other month would fare better. */
const concernsAll = (error: unknown, signal: AbortSignal) =>
  signal.aborted || (isCode(error, 'UNAVAILABLE') && !isOneMonths(error)) || (error as Error).name === 'LeaseLost';

/** A lock that was not to be had, or objects that are in another archive. */
const isOneMonths = (error: Error) => isBusyError(error) || error.cause instanceof NoObject;

/**
 * Moves all months that are due. Returns those that have left. One that can't be moved stays as it is, and the others are moved; then the
 * first error is thrown.
 */
export async function archiveTraces(options: ArchiveTracesOptions): Promise<string[]> {
  const { database, signal } = options;
  const moved: string[] = [];
  const failures: unknown[] = [];
  const attempt = async (month: string, work: () => Promise<void>) => {
    signal.throwIfAborted();
    try {
      await work();
    } catch (error) {
      if (concernsAll(error, signal)) throw error;
      log.error({ month, err: error }, 'a month of traces could not be archived: it is tried again the next time');
      failures.push(error);
    }
  };
  // What an earlier run has left comes first.
  for (const part of await selectUndropped(database)) await attempt(part.month, () => dropTable(options, part));
  for (const due of await selectDue(database, options)) {
    await findFree(database, signal);
    await attempt(due.month, async () => {
      if (await moveOut(options, due)) moved.push(due.month);
    });
  }
  if (failures.length > 0) throw failures[0];
  return moved;
}

/**
 * Throws if something uses the traces for long, such as a dump: then no month can be switched, and each would be written in vain, while
 * readers and writers wait behind every try.
 */
async function findFree(database: OwnersDatabase, signal: AbortSignal): Promise<void> {
  const look = () =>
    database.transaction(async (tx) => {
      await waitBriefly(tx);
      await tx.query({ text: 'LOCK TABLE ONLY traces IN ACCESS EXCLUSIVE MODE' });
    });
  try {
    await whileBusy(signal, look);
  } catch (error) {
    if (isBusyError(error))
      log.error('an older transaction uses the traces, such as a dump: no month leaves before it ends');
    throw error;
  }
}

/** Returns whether the month has left. */
async function moveOut(options: ArchiveTracesOptions, due: Due): Promise<boolean> {
  const { database, archive, ids, signal, onStep } = options;
  const { month, part } = due;
  const { store } = archive;
  if (await whileBusy(signal, () => dropEmpty(database, tableOf(month)))) return false;
  await onStep?.('export', month);
  const path = `tracking/traces/${month}/${ids()}`;
  const exported = await exportTraces({ database, store, table: tableOf(month), month, part, path, signal });
  await onStep?.('verify', month);
  await verifyTraces(store, exported.manifest, signal);
  await onStep?.('switch', month);
  if (!(await whileBusy(signal, () => switchOver(options, due, exported)))) {
    log.info({ month }, 'a month of traces has got more while it was read: it leaves the next time');
    return false;
  }
  const { manifest, hash, bytes } = exported;
  archivedTraces.add(manifest.traces);
  archivedBytes.add(bytes);
  log.info({ month, part, traces: manifest.traces, bytes, path }, 'a month of traces is read from the archive now');
  await dropTable(options, { month, part, archive: store.where, path, hash });
  return true;
}

/** Repeats work that waits for locks a few times. */
async function whileBusy<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (tried === triesAtMost || !isBusyError(error)) throw error;
      await sleep(pauseMs, signal);
    }
  }
}

/** A month without traces, of which there is nothing to keep. Writers make it anew if they need it. */
async function dropEmpty(database: OwnersDatabase, table: string): Promise<boolean> {
  const there = { text: `SELECT FROM ${table} LIMIT 1` };
  if ((await database.query(there)).length > 0) return false;
  return database.transaction(async (tx) => {
    await waitBriefly(tx);
    await tx.query({ text: keepWritersOut });
    if ((await tx.query(there)).length > 0) return false;
    await tx.query({ text: `DROP TABLE ${table}` });
    return true;
  });
}

/** Writers of traces hold it, shared, from their first statement on. */
const keepWritersOut = "SELECT pg_advisory_xact_lock(hashtextextended('caudal.trace_months.' || current_schema(), 0))";

/**
 * Puts the archive in the place of the partition. Rows are only added: if there are as many as were exported, they are the same. Returns
 * false if there are more.
 */
function switchOver({ database, archive }: ArchiveTracesOptions, { month, part }: Due, exported: ExportedTraces) {
  const { path, manifest, hash, bytes } = exported;
  const table = tableOf(month);
  return database.transaction(async (tx) => {
    await waitBriefly(tx);
    // Counted while only writers of this month wait, and all others work on.
    await tx.query({ text: `LOCK TABLE ${table} IN SHARE MODE` });
    const [row] = await tx.query<{ count: number }>({ text: `SELECT count(*) AS count FROM ${table}` });
    if (row!.count !== manifest.traces) return false;
    await tx.query({ text: keepWritersOut });
    await tx.query({ text: `ALTER TABLE traces DETACH PARTITION ${table}` });
    await tx.query({ text: `ALTER TABLE ${table} RENAME TO ${formerTableOf(month, part)}` });
    await tx.query({
      text: `INSERT INTO archived_trace_months (month, part, archive, path, manifest_hash, digest, traces, parcels, bytes)
        VALUES ($1, $2, $3, $4, $5, decode($6, 'hex'), $7, $8, $9)`,
      values: [
        ...[firstDay(month), part, archive.store.where, path, hash],
        ...[manifest.digest, manifest.traces, manifest.parcels, bytes],
      ],
    });
    return true;
  });
}

/** Drops what has left, if it can still be read from the archive. */
async function dropTable(
  { database, archive, signal, onStep }: ArchiveTracesOptions,
  part: ArchivedPart,
): Promise<void> {
  const { month, path } = part;
  const { store } = archive;
  await onStep?.('drop', month);
  const check = async () => {
    const text = await store.getRange(manifestName(path), { offset: 0, length: longestManifest }, signal);
    await checkFiles(store, { path, files: [parseManifest<TraceManifest>(text, part).byParcel], signal });
  };
  await maybeCopy(store, part, check());
  await database.transaction(async (tx) => {
    await waitBriefly(tx);
    const rows = await tx.query({
      text: 'SELECT FROM archived_trace_months WHERE month = $1 AND part = $2 AND path = $3 FOR UPDATE',
      values: [firstDay(month), part.part, path],
    });
    if (rows.length === 0) throw new Error(`The row of ${month}, part ${part.part}, has gone: its table stays.`);
    await tx.query({ text: `DROP TABLE IF EXISTS ${formerTableOf(month, part.part)}` });
  });
  log.info({ month, part: part.part }, 'a month of traces has left the database');
}
