/** Distinguishes errors of the server, which callers wait out, from errors of the statement, which they report. */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { DatabaseError } from 'pg';

/**
 * SQLSTATEs of the connection or the server, not of the statement: 08 connection exceptions; 53 too many connections
 * and other lack of resources; 57P01 to 57P05 shut down, starting or terminated; 25006 a standby (after a failover the
 * pool may still have connections to the old primary); 25P03 idle in a transaction for too long.
 */
const serverStates = /^(08|53|57P0|25006$|25P03$)/;

/** Codes of Node's sockets and resolver. */
const socketErrors = /^(E(CONN|PIPE|TIMEDOUT|HOST|NET|AI_)|ENOTFOUND$|ENOENT$)/;

/** Messages of pg for a connection that ended during a statement; it has no codes for them. */
const clientErrors =
  /^(Connection terminated|Connection ended|Query read timeout|Client (has encountered|was closed)|Cannot use a pool)/;

/** Whether the connection is lost or unusable. Then the outcome of its statement is unknown. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof DatabaseError)
    return serverStates.test(error.code ?? '') || /^(FATAL|PANIC)$/.test(error.severity ?? '');
  if (!(error instanceof Error) || error instanceof CaudalError) return false;
  return socketErrors.test((error as NodeJS.ErrnoException).code ?? '') || clientErrors.test(error.message);
}

/**
 * SQLSTATEs of statements that did nothing and are not at fault: they lost a race to another transaction (40001, also
 * to a replica's recovery; 40P01), waited too long for a lock (55P03), ran too long (57014, 25P04), or the system
 * failed (58), for example its disk.
 */
const busyStates = /^(40001$|40P01$|55P03$|57014$|25P04$|58)/;

/** Whether the statement did nothing, and may succeed later. True also for the UNAVAILABLE that callers get for it. */
export function isBusyError(error: unknown): boolean {
  return busyStates.test(sqlState(error) ?? '');
}

/** The SQLSTATE of a statement's error, or of the cause of a CaudalError: `23514`. Undefined for other errors. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof CaudalError) return sqlState(error.cause);
  return error instanceof DatabaseError ? error.code : undefined;
}

/** 22: a value does not fit its type (a NUL in a string); 23: a constraint is violated; 54: it is too large. */
export function isDataError(error: unknown): boolean {
  return /^(22|23|54)/.test(sqlState(error) ?? '');
}

/** UNAVAILABLE for errors of the server or the connection; any other error unchanged. */
export function asCallersError(error: unknown): unknown {
  return isConnectionError(error) || (!(error instanceof CaudalError) && isBusyError(error))
    ? unavailable('PostgreSQL', error)
    : error;
}
