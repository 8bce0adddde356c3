/** StreamLocks for tests, as PostgreSQL gives them: one at a time a stream, in the order in which they were asked for. */
import type { EventLog } from '@caudal/eventlog/types.ts';

export function fairTurns() {
  const last = new Map<string, Promise<void>>();
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
      const before = last.get(stream);
      const { promise, resolve } = Promise.withResolvers<void>();
      last.set(stream, promise);
      wanted++;
      await before;
      had++;
      return () => {
        wanted--;
        resolve();
      };
    },
  } satisfies Pick<EventLog, 'lockStream'> & { had: number; wanted: number };
}
