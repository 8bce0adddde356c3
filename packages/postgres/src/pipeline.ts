/**
 * One connection on which a statement is sent without waiting for the answers of those before it, so that neither side
 * ever waits for the other. The server works them off in order, each a transaction of its own.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import { Client } from 'pg';
import { type ConnectionOptions, clientConfig } from './connection.ts';
import type { Statement, Transaction } from './database.ts';
import { asCallersError } from './errors.ts';

export interface Pipeline extends Transaction {
  /** Ends the connection; what is under way fails, so wait for it first. */
  close(): Promise<void>;
}

/**
 * Connects at first use. Errors of `query`: as of a database's; a lost connection fails all that are under way, and the
 * next statement connects again. How many are under way is the caller's to bound.
 */
export function openPipeline(options: ConnectionOptions): Pipeline {
  let connection: Promise<Client> | undefined;
  let closed = false;

  function connect(): Promise<Client> {
    const client = new Client({ ...clientConfig(options), pipeline: true });
    const connecting = client.connect().then(
      () => client,
      (error: unknown) => {
        forget();
        throw unavailable('PostgreSQL', error);
      },
    );
    function forget(): void {
      if (connection === connecting) connection = undefined;
    }
    // What is under way hears of it by itself.
    client.on('error', forget).on('end', forget);
    return connecting;
  }

  return {
    async query<R>(statement: Statement) {
      if (closed) throw unavailable('PostgreSQL', new Error('The connection was closed.'));
      connection ??= connect();
      const current = connection;
      const client = await current;
      try {
        return (await client.query(statement)).rows as unknown as R[];
      } catch (error) {
        // Whatever the error that a lost connection gives its statements: a TLS library's, a socket's.
        throw connection === current ? asCallersError(error) : unavailable('PostgreSQL', error);
      }
    },
    async close() {
      closed = true;
      await connection?.then((client) => client.end()).catch(() => {});
    },
  };
}
