/** A pool of connections to one schema. Every wait is bounded, and a server that can't be reached is UNAVAILABLE. */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { Pool, type PoolClient } from 'pg';
import { type ConnectionOptions, clientConfig } from './connection.ts';
import { asCallersError, isConnectionError } from './errors.ts';

export interface Statement {
  /** Statements with a name are prepared once a connection. Unique for its text. */
  name?: string;
  text: string;
  /** Arrays of plain values become PostgreSQL's arrays; Buffers are sent in binary. */
  values?: unknown[];
}

export interface Transaction {
  /** Runs a statement and returns its rows. */
  query<R>(statement: Statement): Promise<R[]>;
}

export interface Database extends Transaction {
  readonly schema: string;
  readonly url: string;
  /** Runs `work` between BEGIN and COMMIT on one connection; rolls back if it throws. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Waits for statements in flight and closes all connections. May be called twice. */
  close(): Promise<void>;
}

export interface DatabaseOptions extends ConnectionOptions {
  /** Connections at most; 10 if absent. */
  poolSize?: number;
}

/** More callers than this in the queue for a connection are turned away. */
const maxWaiting = 1_000;
/** Connections are renewed after this long, so that load spreads again after a failover or a new replica. */
const maxLifetimeSeconds = 1_800;

/** Longer than the rarest regular question waits for the next: a new connection costs both sides 10 ms. */
const idleTimeoutMillis = 60_000;

const log = logger('postgres');
const connections = gauge('postgres_pool_connections', 'Connections of the pool, by state: idle or used', '1');
const waiting = gauge('postgres_pool_waiting', 'Callers that wait for a connection', '1');

/**
 * Opens a pool; connects at first use. Errors of its functions: UNAVAILABLE if the server can't be reached, or a
 * connection can't be had in time (after a statement was sent its outcome is unknown then); RESOURCE_EXHAUSTED if too
 * many wait for a connection; what pg throws for errors of the statement.
 */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new Pool({
    ...clientConfig(options),
    max: options.poolSize ?? 10,
    maxLifetimeSeconds,
    idleTimeoutMillis,
  });
  let closed: Promise<void> | undefined;

  const measure = () => {
    const labels = { pool: options.applicationName ?? 'caudal', schema: options.schema };
    connections.set(pool.idleCount, { ...labels, state: 'idle' });
    connections.set(pool.totalCount - pool.idleCount, { ...labels, state: 'used' });
    waiting.set(pool.waitingCount, labels);
  };
  pool.on('acquire', measure);
  pool.on('release', measure);
  pool.on('remove', measure);
  // An idle connection that breaks is replaced at the next use; one in use fails its statement. Neither may end the
  // process, which is what an 'error' event without a listener does.
  // (Once the pool is being closed that is how it should be: the server may go at the same moment.)
  pool.on('error', (error) => {
    if (!closed) log.warn({ err: error }, 'an idle connection has ended');
  });
  // Whatever the error that it gives its statement: a TLS library's, a socket's.
  const ended = new WeakSet<object>();
  pool.on('connect', (client) => {
    const end = () => ended.add(client);
    client.on('error', end).on('end', end);
  });

  async function withClient<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (pool.waitingCount >= maxWaiting)
      throw new CaudalError('RESOURCE_EXHAUSTED', 'POOL_EXHAUSTED', 'Too many requests wait for the database.', {
        retryAfterMs: 1_000,
      });
    // Whatever keeps us from a connection, a wrong password included, is the dependency's trouble, not the caller's.
    const client = await pool.connect().catch((error: unknown) => {
      throw unavailable('PostgreSQL', error);
    });
    let broken = false;
    try {
      return await work(client);
    } catch (error) {
      broken = ended.has(client) || isConnectionError(error);
      throw broken && !(error instanceof CaudalError) ? unavailable('PostgreSQL', error) : asCallersError(error);
    } finally {
      client.release(broken);
    }
  }

  return {
    schema: options.schema,
    url: options.url,
    query: <R>(statement: Statement) =>
      withClient(async (client) => (await client.query(statement)).rows as unknown as R[]),
    transaction: (work) =>
      withClient(async (client) => {
        await client.query('BEGIN');
        try {
          const result = await work({
            query: async <R>(statement: Statement) => (await client.query(statement)).rows as unknown as R[],
          });
          await client.query('COMMIT');
          return result;
        } catch (error) {
          if (!isConnectionError(error)) await client.query('ROLLBACK');
          throw error;
        }
      }),
    close() {
      closed ??= pool.end();
      return closed;
    },
  };
}
