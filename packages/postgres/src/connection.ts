/** The settings of every connection of Caudal to PostgreSQL: schema, types, and a bound for every wait. */
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
  /** How long to wait for a connection, from the server or from the pool; 5,000 ms if absent. */
  connectTimeoutMs?: number;
  /** The name in pg_stat_activity and in metrics: `orders-command`. */
  applicationName?: string;
  /**
   * For data that can be derived again from the log: commits don't wait for the disk. A crash of the server may lose
   * the last commits, but only the latest ones in their order, so a cursor is never ahead of the data that it stands
   * for.
   */
  derived?: boolean;
}

/**
 * Settings that a role or a database must not change, and the time after which the server drops a client that has
 * vanished: while the server waits to send the answer to an append, it holds the log's turn.
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

/** If a statement's answer takes this much longer than the server's time-out, the connection is dead. */
const answerGraceMs = 5_000;

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is not a safe integer (at most 2^53 - 1)`);
  return value;
}

/** int8 becomes a number. (pg's default for bytea is a Buffer, and for timestamptz a Date.) */
const typesConfig: CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === types.builtins.INT8 && format !== 'binary'
      ? safeInteger
      : types.getTypeParser(oid, format)) as CustomTypesConfig['getTypeParser'],
};

/** The schema's name, quoted for SQL. Throws if it has other characters than a-z, 0-9 and `_`. */
export function quotedSchema(schema: string): string {
  if (!/^[a-z_][a-z0-9_]{0,47}$/.test(schema))
    throw new Error(`"${schema}" can't be a schema's name: use a-z, 0-9 and _, at most 48 of them`);
  return `"${schema}"`;
}

/** The options for a client of pg. */
export function clientConfig(options: ConnectionOptions): ClientConfig {
  const { statementTimeoutMs = 10_000, lockTimeoutMs = 5_000, connectTimeoutMs = 5_000 } = options;
  const url = new URL(options.url);
  // pg prefers the URL's `options` to ours, so both are joined here.
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
