/** Stream locks for tests, as PostgreSQL grants them: one at a time a stream, in the order of the requests. */
import type { EventLog } from '@caudal/eventlog/types.ts';

export function fairLocks() {
  const last = new Map<string, Promise<void>>();
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
      const before = last.get(stream);
      const { promise, resolve } = Promise.withResolvers<void>();
      last.set(stream, promise);
      wanted++;
      await before;
      granted++;
      return () => {
        wanted--;
        resolve();
      };
    },
  } satisfies Pick<EventLog, 'lockStream'> & { granted: number; wanted: number };
}
