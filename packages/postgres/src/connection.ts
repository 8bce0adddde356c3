/** How every connection of Caudal to PostgreSQL is set up: schema, types, and bounds on every wait. */
import { type ClientConfig, type CustomTypesConfig, types } from 'pg';

export interface ConnectionOptions {
  /** `postgres://user:password@host:port/database?sslmode=...` */
  url: string;
  /** Becomes the search_path, so that SQL names no schema. Lower-case letters, digits and `_`. */
  schema: string;
  /** A statement may run this long; 10,000 ms if absent. */
  statementTimeoutMs?: number;
  /** A statement may wait this long for a lock; 5,000 ms if absent. */
  lockTimeoutMs?: number;
  /** How long to wait for a connection, of the server or of the pool; 5,000 ms if absent. */
  connectTimeoutMs?: number;
  /** As pg_stat_activity and the metrics show it: `orders-command`. */
  applicationName?: string;
  /**
   * For what can be derived anew from the log: commits don't wait for the disk. A crash of the server may take the last
   * moments back, and as it does so in the order in which things were written, cursors are never ahead of what they stand for.
   */
  derived?: boolean;
}

/**
 * What a role's or a database's settings must not change under us, and when the server gives up a client that has
 * vanished: while it waits to send the answer of an append it holds the log's head.
 */
const serverSettings = [
  '-c DateStyle=ISO',
  '-c TimeZone=UTC',
  '-c default_transaction_isolation=read\\ committed',
  '-c tcp_user_timeout=10000',
  '-c tcp_keepalives_idle=10',
  '-c tcp_keepalives_interval=5',
  '-c tcp_keepalives_count=3',
];

/** A statement's answer that takes this much longer than the server allows will never come: the connection is dead. */
const answerGraceMs = 5_000;

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is no safe integer`);
  return value;
}

/** int8 as a number; bytea as a Buffer and timestamptz as a Date is pg's default. */
const typesConfig: CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === types.builtins.INT8 && format !== 'binary'
      ? safeInteger
      : types.getTypeParser(oid, format)) as CustomTypesConfig['getTypeParser'],
};

/** The schema as SQL spells it. Throws if the name could be anything but a plain one. */
export function quotedSchema(schema: string): string {
  if (!/^[a-z_][a-z0-9_]{0,47}$/.test(schema)) throw new Error(`"${schema}" can't be a schema: use a-z, 0-9 and _`);
  return `"${schema}"`;
}

/** The settings as pg takes them. */
export function clientConfig(options: ConnectionOptions): ClientConfig {
  const { statementTimeoutMs = 10_000, lockTimeoutMs = 5_000, connectTimeoutMs = 5_000 } = options;
  const url = new URL(options.url);
  // pg lets the URL's parameters win over ours: what the URL asks for and what we need go in together.
  const schema = `-c search_path=${quotedSchema(options.schema)}`;
  const commits = options.derived && '-c synchronous_commit=off';
  const startup = [url.searchParams.get('options'), schema, commits, ...serverSettings];
  url.searchParams.delete('options');
  return {
    connectionString: url.href,
    options: startup.filter(Boolean).join(' '),
    application_name: options.applicationName ?? 'caudal',
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs + lockTimeoutMs,
    query_timeout: statementTimeoutMs + answerGraceMs,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    types: typesConfig,
  };
}
