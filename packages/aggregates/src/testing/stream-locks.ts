/** StreamLocks for tests, as PostgreSQL gives them: one at a time a stream, in the order in which they were asked for. */
import type { EventLog } from '@caudal/eventlog/types.ts';
import { keyedLock } from '@caudal/kernel/concurrency.ts';

export function fairTurns() {
  const lock = keyedLock();
  let wanted = 0;
  let had = 0;
  return {
    /** How many were had, those that have ended included. */
    get had() {
      return had;
    },
    /** How many are had, or waited for. */
    get wanted() {
      return wanted;
    },
    async lockStream(stream: string): Promise<() => void> {
      wanted++;
      const free = await lock(stream);
      had++;
      return () => {
        wanted--;
        free();
      };
    },
  } satisfies Pick<EventLog, 'lockStream'> & { had: number; wanted: number };
}
