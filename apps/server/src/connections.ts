/**
 * How many connections to PostgreSQL a process opens at most, and what for. The process opens its pool by these numbers,
 * and the chart adds them up for a release (scripts/charts.ts writes them into it).
 */
import { maxLocks } from '@caudal/eventlog/stream-locks.ts';
import { listenConnections } from '@caudal/postgres/listen.ts';
import type { Role, RuntimeValues } from './settings/settings.ts';

/** The roles that append to the logs of their contexts. */
export const appendingRoles = ['command', 'saga', 'jobs', 'worker'] satisfies Role[];

/** What each process opens beside its pool, and what `caudal migrate` opens instead of it. */
export const connectionParts = {
  /** One for each context, in a process with one of the appending roles. */
  append: 1,
  /** Locks of contended streams, in such a process, for all contexts together. */
  locks: maxLocks,
  /** For all contexts together. */
  listen: listenConnections,
  /** It works through the contexts one after another. */
  migrate: 1,
} as const;

export interface Connections {
  /** Shared by all contexts of the process. */
  pool: number;
  append: number;
  locks: number;
  listen: number;
  total: number;
}

/**
 * The most connections of a process with these settings. A command of the command line may do what any role does, so it
 * counts with all of them.
 */
export function connectionsOf(
  values: Pick<RuntimeValues, 'CAUDAL_ROLES' | 'CAUDAL_CONTEXTS' | 'CAUDAL_POOL_SIZE'>,
): Connections {
  const appends = appendingRoles.some((role) => values.CAUDAL_ROLES.includes(role));
  const pool = values.CAUDAL_POOL_SIZE;
  const append = appends ? values.CAUDAL_CONTEXTS.length * connectionParts.append : 0;
  const locks = appends ? connectionParts.locks : 0;
  const listen = connectionParts.listen;
  return { pool, append, locks, listen, total: pool + append + locks + listen };
}
