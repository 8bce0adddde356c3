/** A pool of connections to one schema. Every wait is bounded, and a server that can't be reached is UNAVAILABLE. */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { Pool, type PoolClient } from 'pg';
import { type ConnectionOptions, clientConfig } from './connection.ts';
import { asCallersError, isConnectionError } from './errors.ts';

export interface Statement {
  /** Statements with a name are prepared once per connection. A name must belong to one text only. */
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
  /** The most connections; 10 if absent. */
  poolSize?: number;
}

/** The most callers in the queue for a connection; more are refused. */
const maxWaiting = 1_000;
/** Connections are renewed after this long, so that load spreads again after a failover or a new replica. */
const maxLifetimeSeconds = 1_800;

/** Longer than the longest pause between regular statements, since a new connection costs both sides 10 ms. */
const idleTimeoutMillis = 60_000;

const log = logger('postgres');
const connections = gauge('postgres_pool_connections', 'Connections of the pool, by state: idle or used', '1');
const waiting = gauge('postgres_pool_waiting', 'Callers that wait for a connection', '1');

/**
 * Opens a pool; it connects at first use. Errors of its functions: UNAVAILABLE if the server can't be reached or no
 * connection was free in time (the outcome of a statement that was sent is unknown then); RESOURCE_EXHAUSTED if too
 * many callers wait for a connection; what pg throws for errors of the statement.
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
  // An idle connection that breaks is replaced at the next use. Without this listener its 'error' event would end the
  // process. While the pool is being closed it is expected: the server may stop at the same moment.
  pool.on('error', (error) => {
    if (!closed) log.warn({ err: error }, 'an idle connection has ended');
  });
  // Recorded here, since a statement on a lost connection may fail with any error: of a TLS library, of a socket.
  const ended = new WeakSet<object>();
  pool.on('connect', (client) => {
    const end = () => ended.add(client);
    client.on('error', end).on('end', end);
  });

  async function withClient<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (pool.waitingCount >= maxWaiting)
      throw new CaudalError(
        'RESOURCE_EXHAUSTED',
        'POOL_EXHAUSTED',
        'Too many calls wait for the database. Try again.',
        {
          retryAfterMs: 1_000,
        },
      );
    // If there is no connection, for example because of a wrong password, the caller's request is not at fault.
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
