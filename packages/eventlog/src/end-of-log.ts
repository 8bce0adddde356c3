/** Where a log ends, without reading an event. */
import type { LogReader } from './types.ts';

/** The log's last position; 0 if it is empty. Errors: those of the log. */
export async function endOfLog(log: Pick<LogReader, 'readLog'>): Promise<number> {
  // After the last position that can be: the first events of a log may be in the archive.
  return (await log.readLog(Number.MAX_SAFE_INTEGER, { limit: 1 })).head;
}
