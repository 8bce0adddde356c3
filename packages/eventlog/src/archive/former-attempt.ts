/** What an earlier run has written whole, and could not verify: it need not be written again. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { timeOfId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { ExportedMonth } from './export-month.ts';
import { hashOf, longestManifest, type Manifest, manifestName } from './manifest.ts';
import { firstDay, readByPosition } from './months.ts';
import { type Extent, openSequence } from './sequence.ts';
import { bytesOf } from './sorted-file.ts';

/** Older ones may be on their way out: objects without a row are deleted by whoever keeps the bucket. */
const recentMs = 2 * 86_400_000;
/** A month whose attempts fail night after night is written anew. */
const triedAtMost = 2;

export interface AttemptOptions {
  database: Transaction;
  store: ArchiveStore;
  domain: string;
  extent: Extent;
  signal: AbortSignal;
}

/**
 * The last attempt of the last two days whose manifest says of the month what its table has; undefined if there is none. Its files are
 * not looked at.
 */
export async function findAttempt(options: AttemptOptions): Promise<ExportedMonth | undefined> {
  const { database, store, domain, extent, signal } = options;
  const start = `${domain}/${extent.month}/`;
  const named = await database.query<{ path: string }>({
    text: 'SELECT path FROM former_archives WHERE month = $1',
    values: [firstDay(extent.month)],
  });
  const paths = (await store.list(start, signal))
    .filter(({ name }) => name.endsWith(manifestName('')))
    .map(({ name }) => name.slice(0, -manifestName('').length))
    .filter((path) => isRecent(path.slice(start.length)) && !named.some((former) => former.path === path))
    .sort()
    .reverse();
  let digest: string | undefined;
  for (const path of paths.slice(0, triedAtMost)) {
    const text = await store.getRange(manifestName(path), { offset: 0, length: longestManifest }, signal);
    const manifest = manifestOf(text, domain, extent);
    if (!manifest) continue;
    digest ??= await digestOf(options);
    if (manifest.digest !== digest) continue;
    const bytes = text.length + bytesOf([manifest.byPosition, manifest.byStream]);
    return { path, manifest, hash: hashOf(text), bytes };
  }
  return undefined;
}

const isRecent = (id: string) => systemClock().getTime() - (timeOfId(id) ?? 0) < recentMs;

/** Undefined if it is of something else, or damaged. */
function manifestOf(text: Buffer, domain: string, { month, after, end }: Extent): Manifest | undefined {
  try {
    const manifest = JSON.parse(text.toString()) as Manifest;
    const expected = [1, domain, month, after, end - after];
    const found = [manifest.format, manifest.domain, manifest.month, manifest.after, manifest.events];
    return expected.every((value, n) => value === found[n]) ? manifest : undefined;
  } catch {
    return undefined;
  }
}

/** The digest of the month's table. Throws if it is not whole. */
async function digestOf({ database, extent, signal }: AttemptOptions): Promise<string> {
  const sequence = openSequence('position', extent);
  for await (const page of readByPosition(database, extent.month)) {
    signal.throwIfAborted();
    for (const event of page) sequence.take(event);
  }
  return sequence.end().digest;
}
