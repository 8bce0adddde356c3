/**
 * The connections of a process to one database server, shared by the schemas that it works with. A connection belongs
 * to one schema at a time: its search_path is set before a caller gets it. See README, One pool a server.
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { Client } from 'pg';
import { type ConnectionOptions, clientConfig, quotedSchema } from './connection.ts';
import { mayTake, next, type Share } from './shares.ts';

export interface PoolOptions extends Omit<ConnectionOptions, 'schema'> {
  /** The most connections, of all schemas together; 10 if absent. */
  poolSize?: number;
}

export interface Connection {
  readonly client: Client;
  /** Recorded, since a statement on a lost connection may fail with any error: of a TLS library, of a socket. */
  ended: boolean;
}

/** The connections that one schema has of the pool. */
export interface Tenant {
  /** The schema's place in the pool: plans that were prepared for it have it in their names. */
  readonly place: number;
  /** A connection with this schema as its search_path. Errors: UNAVAILABLE, RESOURCE_EXHAUSTED. */
  acquire(): Promise<Connection>;
  /** Every acquired connection is released once; a broken one is closed. */
  release(connection: Connection, broken: boolean): void;
  /** Waits for its connections to be released. The last tenant closes the pool. May be called twice. */
  close(): Promise<void>;
}

/** Connects at first use. */
export interface Pool {
  readonly options: PoolOptions;
  tenant(schema: string): Tenant;
}

interface PooledConnection extends Connection {
  schema: string;
  readonly bornAt: number;
  idleSince: number;
}

interface Waiter {
  since: number;
  /** False if it has given up. */
  give(connection: PooledConnection): boolean;
  fail(error: unknown): void;
}

interface Holder extends Share<Waiter> {
  readonly schema: string;
  closed: Promise<void> | undefined;
  /** Called when it has no connection any more. */
  onNone: () => void;
}

/** The most callers of a schema in the queue for a connection; more are refused. */
const maxWaiting = 1_000;
/** Connections are renewed after this long, so that load spreads again after a failover or a new replica. */
const maxLifetimeMs = 1_800_000;
/** Longer than the longest pause between regular statements, since a new connection costs both sides 10 ms. */
const idleTimeoutMs = 60_000;
/** A connection that does not end in this time no longer counts. */
const endMs = 1_000;

const log = logger('postgres');
const connections = gauge('postgres_pool_connections', 'Connections of the pool, by state: idle or used', '1');
const waiting = gauge('postgres_pool_waiting', 'Callers that wait for a connection', '1');

/** Opens the pool of a process to a server. */
export function openPool(options: PoolOptions): Pool {
  const { poolSize: size = 10, connectTimeoutMs = 5_000 } = options;
  const holders = new Set<Holder>();
  /** All that the server may count: also those that are being opened or closed. */
  const open = new Set<PooledConnection | symbol>();
  /** The one used last is the last. */
  const idle: PooledConnection[] = [];
  const allEnded: (() => void)[] = [];
  let requests = 0;
  let places = 0;
  let closing = false;
  let sweep: NodeJS.Timeout | undefined;

  function measure(...changed: (Holder | undefined)[]): void {
    for (const holder of changed) {
      if (!holder) continue;
      const labels = { pool: options.applicationName ?? 'caudal', schema: holder.schema };
      const idleOnes = idle.reduce((sum, { schema }) => sum + Number(schema === holder.schema), 0);
      connections.set(idleOnes, { ...labels, state: 'idle' });
      connections.set(holder.used, { ...labels, state: 'used' });
      waiting.set(holder.waiting.length, labels);
    }
  }
  const holderOf = (schema: string) => [...holders].find((holder) => holder.schema === schema);

  function ended(slot: PooledConnection | symbol): void {
    if (!open.delete(slot)) return;
    dispatch();
    if (open.size === 0) for (const resolve of allEnded.splice(0)) resolve();
  }

  async function connect(schema: string): Promise<PooledConnection> {
    const slot = Symbol(schema);
    open.add(slot);
    const client = new Client(clientConfig({ ...options, schema }));
    const connection: PooledConnection = { client, schema, ended: false, bornAt: Date.now(), idleSince: 0 };
    // Without a listener the 'error' event would end the process. An idle connection that breaks is replaced at the next
    // use. While the pool is being closed it is expected: the server may stop at the same moment.
    client.on('error', (error) => {
      if (idle.includes(connection) && !closing) log.warn({ err: error }, 'an idle connection has ended');
      lost(connection);
    });
    client.on('end', () => lost(connection));
    try {
      await client.connect();
    } catch (error) {
      ended(slot);
      throw error;
    }
    open.delete(slot);
    open.add(connection);
    return connection;
  }

  function lost(connection: PooledConnection): void {
    connection.ended = true;
    const place = idle.indexOf(connection);
    if (place < 0) return;
    idle.splice(place, 1);
    measure(holderOf(connection.schema));
    discard(connection);
  }

  function discard(connection: PooledConnection): void {
    const forget = () => ended(connection);
    connection.client.end().then(forget, forget);
    setTimeout(forget, endMs).unref();
  }

  /** Reserves a connection at once, and resolves when it has this schema. */
  async function obtain(schema: string): Promise<PooledConnection> {
    const own = takeOwn(schema);
    if (own) return own;
    if (open.size < size) return connect(schema);
    const [other] = idle.splice(0, 1) as [PooledConnection];
    measure(holderOf(other.schema));
    try {
      // Answered before the caller's statement is sent: if it fails, nothing runs in the wrong schema.
      await other.client.query(`SET search_path TO ${quotedSchema(schema)}`);
    } catch (error) {
      discard(other);
      throw error;
    }
    other.schema = schema;
    return other;
  }

  function takeOwn(schema: string): PooledConnection | undefined {
    const place = idle.findLastIndex((connection) => connection.schema === schema);
    return place < 0 ? undefined : idle.splice(place, 1)[0];
  }

  const hasRoom = () => idle.length > 0 || open.size < size;

  async function serve(holder: Holder, waiter: Waiter): Promise<void> {
    holder.used++;
    try {
      const connection = await obtain(holder.schema);
      if (!waiter.give(connection)) release(holder, connection, false);
    } catch (error) {
      waiter.fail(unavailable('PostgreSQL', error));
      released(holder);
    }
    measure(holder);
  }

  function dispatch(): void {
    while (hasRoom()) {
      const fits = (holder: Holder) => idle.some(({ schema }) => schema === holder.schema);
      const holder = next(holders, size, fits);
      if (!holder) return;
      void serve(holder, holder.waiting.shift()!);
    }
  }

  function released(holder: Holder): void {
    holder.used--;
    dispatch();
    if (holder.used === 0) holder.onNone();
    measure(holder);
  }

  function release(holder: Holder, connection: PooledConnection, broken: boolean): void {
    const isOld = Date.now() - connection.bornAt > maxLifetimeMs;
    if (broken || connection.ended || closing || isOld) discard(connection);
    else {
      connection.idleSince = Date.now();
      idle.push(connection);
      sweepLater();
    }
    released(holder);
  }

  function sweepLater(): void {
    const oldest = idle[0];
    if (!oldest || sweep) return;
    const ms = Math.max(0, oldest.idleSince + idleTimeoutMs - Date.now());
    sweep = setTimeout(() => {
      sweep = undefined;
      while (idle[0] && Date.now() - idle[0].idleSince >= idleTimeoutMs) {
        const connection = idle.shift()!;
        measure(holderOf(connection.schema));
        discard(connection);
      }
      sweepLater();
    }, ms).unref();
  }

  function wait(holder: Holder): Promise<PooledConnection> {
    return new Promise((resolve, reject) => {
      let over = false;
      const settle = (how: () => void) => {
        if (over) return false;
        over = true;
        clearTimeout(timer);
        how();
        return true;
      };
      const waiter: Waiter = {
        since: ++requests,
        give: (connection) => settle(() => resolve(connection)),
        fail: (error) => settle(() => reject(error)),
      };
      // Bounds the wait in the queue and for the server together.
      const timer = setTimeout(() => {
        const place = holder.waiting.indexOf(waiter);
        if (place >= 0) holder.waiting.splice(place, 1);
        waiter.fail(
          unavailable('PostgreSQL', new Error(`No connection was free or answered in ${connectTimeoutMs} ms`)),
        );
        measure(holder);
      }, connectTimeoutMs);
      holder.waiting.push(waiter);
      dispatch();
      measure(holder);
    });
  }

  async function close(holder: Holder): Promise<void> {
    for (const waiter of holder.waiting.splice(0)) waiter.fail(wasClosed());
    if (holder.used > 0) await new Promise<void>((resolve) => (holder.onNone = resolve));
    holders.delete(holder);
    // Nothing is left free for it any more.
    if (holders.size > 0) return dispatch();
    closing = true;
    clearTimeout(sweep);
    const none = new Promise<void>((resolve) => allEnded.push(resolve));
    for (const connection of idle.splice(0)) discard(connection);
    if (open.size > 0) await none;
  }

  function tenant(schema: string): Tenant {
    quotedSchema(schema);
    if (closing) throw wasClosed();
    const holder: Holder = { schema, used: 0, waiting: [], closed: undefined, onNone() {} };
    holders.add(holder);
    return {
      place: places++,
      async acquire() {
        if (holder.closed) throw wasClosed();
        if (holder.waiting.length === 0 && mayTake(holder, holders, size)) {
          const own = takeOwn(schema);
          if (own) {
            holder.used++;
            measure(holder);
            return own;
          }
        }
        if (holder.waiting.length >= maxWaiting) throw tooManyWait();
        return wait(holder);
      },
      release: (connection, broken) => release(holder, connection as PooledConnection, broken),
      close() {
        holder.closed ??= close(holder);
        return holder.closed;
      },
    };
  }

  return { options, tenant };
}

const wasClosed = () => unavailable('PostgreSQL', new Error('The pool was closed.'));

function tooManyWait(): CaudalError {
  const text = 'Too many calls wait for the database. Try again.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'POOL_EXHAUSTED', text, { retryAfterMs: 1_000 });
}
