/** Tells "PostgreSQL can't be reached" from "this statement is wrong": callers wait for the one and report the other. */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { DatabaseError } from 'pg';

/**
 * SQLSTATEs that say something about the connection or the server, not about the statement: 08 connection exceptions,
 * 53 too many connections and other lack of resources, 57P01-57P05 shut down, starting or terminated, 25006 a standby
 * (after a failover the pool may still hold connections to the old primary), 25P03 idle in a transaction for too long.
 */
const serverStates = /^(08|53|57P0|25006$|25P03$)/;

/** What Node's sockets and resolver say. */
const socketErrors = /^(E(CONN|PIPE|TIMEDOUT|HOST|NET|AI_)|ENOTFOUND$|ENOENT$)/;

/** What pg says when a connection has ended under a statement; it has no codes for these. */
const clientErrors =
  /^(Connection terminated|Connection ended|Query read timeout|Client (has encountered|was closed)|Cannot use a pool)/;

/** Whether the connection is lost or of no use: then the outcome of its statement is unknown. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof DatabaseError)
    return serverStates.test(error.code ?? '') || /^(FATAL|PANIC)$/.test(error.severity ?? '');
  if (!(error instanceof Error) || error instanceof CaudalError) return false;
  return socketErrors.test((error as NodeJS.ErrnoException).code ?? '') || clientErrors.test(error.message);
}

/**
 * SQLSTATEs of statements that did nothing, through no fault of their own: they lost to another transaction (40001, also
 * a replica's recovery; 40P01), waited too long for a lock (55P03) or altogether (57014, 25P04), or met trouble outside
 * PostgreSQL, such as its disk's (58).
 */
const busyStates = /^(40001$|40P01$|55P03$|57014$|25P04$|58)/;

/** Whether the statement did nothing, but may work later. Also told of the UNAVAILABLE that callers get for it. */
export function isBusyError(error: unknown): boolean {
  return busyStates.test(sqlState(error) ?? '');
}

/** The SQLSTATE of a statement's error, or of the one behind a caller's error: `23514`. Undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof CaudalError) return sqlState(error.cause);
  return error instanceof DatabaseError ? error.code : undefined;
}

/** UNAVAILABLE for what the server or the connection is to blame for; any other error as it is. */
export function asCallersError(error: unknown): unknown {
  return isConnectionError(error) || (!(error instanceof CaudalError) && isBusyError(error))
    ? unavailable('PostgreSQL', error)
    : error;
}
