/** Statements and transactions in one schema. Every wait is bounded, and a server that can't be reached is UNAVAILABLE. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import type { Client } from 'pg';
import { asCallersError, isConnectionError } from './errors.ts';
import { openPool, type Pool, type PoolOptions } from './pool.ts';

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
  /**
   * Runs `work` between BEGIN and COMMIT on one connection; rolls back if it throws. `work` uses only its `tx`: a second
   * connection of the same pool is an Error, since transactions that wait for each other's would never end.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Waits for statements in flight. The last database of a pool closes all connections. May be called twice. */
  close(): Promise<void>;
}

export interface DatabaseOptions extends PoolOptions {
  schema: string;
}

/** The transactions around this call. `open` ends with the transaction, which work that was begun in it may outlive. */
const around = new AsyncLocalStorage<{ pool: Pool; open: boolean }>();

/** Opens a schema with a pool of its own. See `databaseOf`. */
export function openDatabase({ schema, ...options }: DatabaseOptions): Database {
  return databaseOf(openPool(options), schema);
}

/**
 * Opens a schema on a pool that it shares with others; connects at first use. Errors of its functions: UNAVAILABLE if
 * the server can't be reached or no connection was free in time (the outcome of a statement that was sent is unknown
 * then); RESOURCE_EXHAUSTED if too many callers wait for a connection; what pg throws for errors of the statement.
 */
export function databaseOf(pool: Pool, schema: string): Database {
  const tenant = pool.tenant(schema);
  // A plan is made for the tables of one schema, and connections change theirs.
  const prefix = tenant.place === 0 ? '' : `${tenant.place}:`;
  const run = async <R>(client: Client, { name, text, values }: Statement): Promise<R[]> =>
    (await client.query({ name: name && prefix + name, text, values })).rows as unknown as R[];

  async function withClient<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const outer = around.getStore();
    if (outer?.open && outer.pool === pool)
      throw new Error('A transaction asks its pool for a second connection: give its statements to `tx`.');
    const connection = await tenant.acquire();
    let broken = false;
    try {
      return await work(connection.client);
    } catch (error) {
      // In a transaction: its end has failed, too.
      const { ended, client } = connection;
      broken = ended || isConnectionError(error) || client.getTransactionStatus() !== 'I';
      throw broken && !(error instanceof CaudalError) ? unavailable('PostgreSQL', error) : asCallersError(error);
    } finally {
      tenant.release(connection, broken);
    }
  }

  async function inTransaction<T>(client: Client, work: (tx: Transaction) => Promise<T>): Promise<T> {
    await client.query('BEGIN');
    const here = { pool, open: true };
    try {
      const result = await around.run(here, () => work({ query: (statement) => run(client, statement) }));
      here.open = false;
      await client.query('COMMIT');
      return result;
    } catch (error) {
      if (!isConnectionError(error)) await client.query('ROLLBACK');
      throw error;
    } finally {
      here.open = false;
    }
  }

  return {
    schema,
    url: pool.options.url,
    query: (statement) => withClient((client) => run(client, statement)),
    transaction: (work) => withClient((client) => inTransaction(client, work)),
    close: () => tenant.close(),
  };
}
