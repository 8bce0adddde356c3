/** Stream locks for tests, as PostgreSQL grants them: one at a time a stream, in the order of the requests. */
import type { EventLog } from '@caudal/eventlog/types.ts';
import { keyedLock } from '@caudal/kernel/concurrency.ts';

export function fairLocks() {
  const lock = keyedLock();
  let wanted = 0;
  let granted = 0;
  return {
    /** How many were granted, those that were released included. */
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
