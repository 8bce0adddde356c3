/** For tests: a log with months of years ago, and an archive in a folder for them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFolderStore } from '@caudal/archive-store/folder-store.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openArchive } from '../archive/archive.ts';
import type { RecordedEvent } from '../types.ts';
import { someAppend } from './events.ts';
import { freshLog, setClockAhead } from './log.ts';
import { expectWhole } from './whole-log.ts';

/** A stream with two events in each of the months. */
export const throughout = 'orders.order/throughout';
/** The stream with events in the nth of the months alone. */
export const onlyIn = (n: number) => `orders.order/only-${n}`;

/** An archive in a folder of its own. */
export async function folderArchive() {
  const folder = await mkdtemp(join(tmpdir(), 'archive-'));
  return { folder, store: openFolderStore(folder), remove: () => rm(folder, { recursive: true }) };
}

/** A log that has been written to in the months so many months ago, and now. `events`: all of it, before any month has left. */
export async function oldLog(store: ArchiveStore, monthsAgo = [40, 30, 29, 28, 3]) {
  const archive = openArchive(store);
  const fresh = await freshLog('orders', { archive });
  for (const [n, ago] of monthsAgo.entries()) {
    await setClockAhead(fresh.database, `-${ago} months`);
    await fresh.log.append(someAppend(throughout, 2 * n, [`t${n}`, `t${n}+`]));
    for (const twin of ['', '-Ωß-twin', '-𝒳'])
      await fresh.log.append(someAppend(`${onlyIn(n)}${twin}`, 0, [`o${n}${twin}`, 'x'.repeat(500), 'y']));
  }
  await setClockAhead(fresh.database, '0 months');
  await fresh.log.append(someAppend(throughout, 2 * monthsAgo.length, ['now']));
  const events: RecordedEvent[] = await expectWhole(fresh.log, fresh.database);
  return { ...fresh, archive, events };
}

/** The partitions of events, and tables that were partitions. */
export async function tablesOfEvents(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>({
    text: `SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
      AND relname ~ '^events_[0-9]' ORDER BY 1`,
  });
  return rows.map(({ name }) => name);
}
