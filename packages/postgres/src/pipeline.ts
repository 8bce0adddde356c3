/**
 * One connection on which statements are sent without waiting for the answers to earlier ones, so that neither side
 * waits for the other. The server runs them in order, each in a transaction of its own.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import { Client } from 'pg';
import { type ConnectionOptions, clientConfig } from './connection.ts';
import type { Statement, Transaction } from './database.ts';
import { asCallersError } from './errors.ts';

export interface Pipeline extends Transaction {
  /** Ends the connection. Statements in flight fail, so wait for them first. */
  close(): Promise<void>;
}

/**
 * Connects at first use. Errors of `query`: those of `Database.query`. A lost connection fails all statements in
 * flight, and the next one connects again. The caller bounds the number of statements in flight.
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
    // Statements in flight are rejected by pg.
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
        // Statements on a lost connection may fail with any error: of a TLS library, of a socket.
        throw connection === current ? asCallersError(error) : unavailable('PostgreSQL', error);
      }
    },
    async close() {
      closed = true;
      await connection?.then((client) => client.end()).catch(() => {});
    },
  };
}
