/** Stream locks for tests. As in PostgreSQL, one lock per stream is granted at a time, in the order of the requests. */
import type { EventLog } from '@caudal/eventlog/types.ts';
import { keyedLock } from '@caudal/kernel/concurrency.ts';

export function fairLocks() {
  const lock = keyedLock();
  let wanted = 0;
  let granted = 0;
  return {
    /** How many were granted, including released ones. */
    get granted() {
      return granted;
    },
    /** How many are held, or waited for. */
    get wanted() {
      return wanted;
    },
    async lockStream(stream: string): Promise<() => void> {
      wanted++;
      const free = await lock(stream);
      granted++;
      return () => {
        wanted--;
        free();
      };
    },
  } satisfies Pick<EventLog, 'lockStream'> & { granted: number; wanted: number };
}
