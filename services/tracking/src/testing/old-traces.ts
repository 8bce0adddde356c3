/** For tests: traces of years ago, and the job that moves them to an archive. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFolderStore } from '@caudal/archive-store/folder-store.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { ListTracesRequest, ParcelStatus, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openArchive } from '@caudal/eventlog/archive/archive.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { testCall } from '@caudal/testing/call.ts';
import { type ArchiveTracesOptions, archiveTraces } from '../archive/archive-months.ts';
import { writeTraces } from '../store/write-traces.ts';
import type { World } from './world.ts';

/** A trace of the carrier ACME at a time: `2022-03-01T10:00:00Z`. */
export function traceOf(trackingNumber: string, time: string, more: Partial<Trace> = {}): Trace {
  const happenTime = new Date(time);
  const status = ParcelStatus.PARCEL_STATUS_IN_TRANSIT;
  return Trace.fromPartial({ carrier: 'ACME', trackingNumber, happenTime, receiveTime: happenTime, status, ...more });
}

/** Writes them in one transaction. Returns how many were new. */
export async function write({ database }: { database: Database }, traces: Trace[]): Promise<number> {
  const bodies = traces.map((one) => Trace.encode(one).finish());
  return (await database.transaction((tx) => writeTraces(tx, bodies))).rows.length;
}

/** Runs the job once. Returns the months that have left. */
export function archiveNow(
  database: Database,
  store: ArchiveStore,
  options: Partial<ArchiveTracesOptions> = {},
): Promise<string[]> {
  return archiveTraces({
    ...{ database, archive: openArchive(store), ids: newId, now: systemClock(), afterMonths: 36 },
    ...{ signal: new AbortController().signal, ...options },
  });
}

/** An archive in a folder of its own. */
export async function folderArchive() {
  const folder = await mkdtemp(join(tmpdir(), 'traces-'));
  return { folder, store: openFolderStore(folder), remove: () => rm(folder, { recursive: true }) };
}

/** All pages of a parcel's traces. */
export async function pagesOf({ queries }: Pick<World, 'queries'>, trackingNumber: string, pageSize = 20) {
  const pages: { traces: Trace[]; archived: boolean }[] = [];
  let pageToken = '';
  do {
    const request = ListTracesRequest.fromPartial({ carrier: 'acme', trackingNumber, pageSize, pageToken });
    const { traces, archived, nextPageToken } = await queries.listTraces(request, testCall());
    pages.push({ traces, archived });
    if (pages.length > 1_000) throw new Error('The list does not end.');
    pageToken = nextPageToken;
  } while (pageToken);
  return pages;
}

/** The partitions of traces, and tables that were partitions. */
export async function tablesOfTraces(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>({
    text: `SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
      AND relname ~ '^traces_2022' ORDER BY 1`,
  });
  return rows.map(({ name }) => name);
}
