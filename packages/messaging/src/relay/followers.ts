/** The queues that follow a log, in the table `followers` of its schema. See docs/broken-queues.md. */
import { CaudalError, invalidField } from '@caudal/kernel/errors.ts';
import { type Fence, holdsFence } from '@caudal/postgres/checkpoint.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { slotsCheckpoint } from '../checkpoints.ts';

/** A queue, by its full name, and the keys with which it is bound to the log's exchange: `orders.order.#`. */
export interface BoundQueue {
  queue: string;
  /** Whether it belongs to no handler of Caudal. */
  stranger: boolean;
  keys: string[];
}

export interface Follower extends BoundQueue {
  /** Of the last registration, by the database's clock, as text: it is only compared. */
  registeredAt: string;
  /** The position after which it has missed events; undefined: it is bound. */
  missedAfter: number | undefined;
}

/** A follower that is set aside. */
export interface SetAside extends BoundQueue {
  missedAfter: number;
}

export function isSetAside(follower: Follower): follower is Follower & SetAside {
  return follower.missedAfter !== undefined;
}

/** What a queue tells a log. */
export interface Registration {
  queue: string;
  /** The keys that it is bound with. */
  keys: string[];
  /** Only without keys: those that it no longer has, because they moved to another queue. */
  released?: string[];
}

/** What a log answers. */
export interface Registered {
  /** The relay has removed the queue's bindings, and will restore them. */
  setAside: boolean;
  /** The relay sends each event with the key of its slot too: docs/parts.md. */
  slotted: boolean;
  /** The keys that the queue has now. */
  keys: string[];
}

/** Where handlers register with a log: its table, or the process that serves the log. */
export interface FollowerRegistry {
  /**
   * Registers a handler's queue by its full name. Without keys it only releases; a queue that is left without keys is
   * forgotten. INVALID_ARGUMENT if the name or a key is none of a handler of this log; RESOURCE_EXHAUSTED beyond the
   * bounds of the table.
   */
  follow(registration: Registration): Promise<Registered>;
}

const slotted = `NOT EXISTS (SELECT FROM checkpoints WHERE name = 'relay' AND epoch > (
    SELECT coalesce(max(position), 0) FROM checkpoints WHERE name = '${slotsCheckpoint}'))`;

/** Notes that the relay of the fence sends slots. To be called before it publishes. */
export async function noteSlots(db: Transaction, fence: Fence): Promise<void> {
  await db.query({
    name: 'followers-note-slots',
    text: `INSERT INTO checkpoints AS c (name, position)
      SELECT $1, $2 WHERE set_config('synchronous_commit', 'on', true) = 'on'
      ON CONFLICT (name) DO UPDATE SET position = greatest(c.position, excluded.position)`,
    values: [slotsCheckpoint, fence.epoch],
  });
}

/** Bounds of the table: what can be registered is what the relay looks at. */
const maxKeys = 500;
const maxFollowers = 1_000;

/** The registry of the log of a domain, whose schema this is. */
export function followerRegistry(db: Transaction, domain: string): FollowerRegistry {
  const ofHandler = new RegExp(`^${domain}\\.[a-z][a-z_-]*\\.(#|s\\d{1,2})$`);
  return {
    async follow({ queue, keys, released = [] }) {
      if (queue.endsWith('.dead')) throw invalidField('queue', 'a queue of dead letters follows no log');
      for (const key of [...keys, ...released])
        if (!ofHandler.test(key))
          throw invalidField('keys', `${key} is not of the form ${domain}.<entity>.# or ${domain}.<entity>.s<slot>`);
      if (keys.length === 0) return release(db, queue, released);
      const registered = await register(db, queue, [...new Set(keys)].sort());
      if (!registered)
        throw new CaudalError(
          'RESOURCE_EXHAUSTED',
          'TOO_MANY_FOLLOWERS',
          `The log of ${domain} takes ${maxFollowers} queues, and ${maxKeys} keys of each.`,
        );
      return registered;
    },
  };
}

/** Undefined beyond the bounds of the table. */
async function register(db: Transaction, queue: string, keys: string[]): Promise<Registered | undefined> {
  const rows = await db.query<Registered>({
    name: 'followers-follow',
    // Other keys stay: bindings of entities that the handler no longer follows stay too.
    text: `WITH followed AS (
        INSERT INTO followers AS f (queue, keys)
        SELECT $1, $2::text[] WHERE set_config('synchronous_commit', 'on', true) = 'on'
          AND cardinality($2::text[]) <= $3 AND (SELECT count(*) FROM followers WHERE queue <> $1) < $4
        ON CONFLICT (queue) DO UPDATE SET
          keys = ARRAY(SELECT DISTINCT key FROM unnest(f.keys || excluded.keys) AS key ORDER BY key),
          stranger = false, registered_at = clock_timestamp()
        -- What is known and young is not written again: a handler asks every few seconds.
        WHERE CASE WHEN f.keys @> excluded.keys
          THEN f.stranger OR f.registered_at < clock_timestamp() - interval '30 seconds'
          ELSE cardinality(f.keys || excluded.keys) <= $3 END
        RETURNING keys, set_aside_at)
      SELECT keys, set_aside_at IS NOT NULL AS "setAside", ${slotted} AS slotted
      FROM (SELECT * FROM followed UNION ALL
        SELECT keys, set_aside_at FROM followers WHERE queue = $1 AND NOT EXISTS (SELECT FROM followed)) AS f
      WHERE keys @> $2::text[]`,
    values: [queue, keys, maxKeys, maxFollowers],
  });
  return rows[0];
}

/** Takes keys from a queue. Without any it is forgotten. */
async function release(db: Transaction, queue: string, released: string[]): Promise<Registered> {
  const rows = await db.query<Omit<Registered, 'setAside'> & { setAside: boolean | null }>({
    name: 'followers-release',
    text: `WITH gone AS (DELETE FROM followers WHERE queue = $1 AND keys <@ $2::text[]),
        less AS (
          UPDATE followers SET keys = ARRAY(SELECT key FROM unnest(keys) AS key WHERE key <> ALL ($2::text[]))
          WHERE queue = $1 AND NOT keys <@ $2::text[])
      SELECT (SELECT set_aside_at IS NOT NULL FROM followers WHERE queue = $1) AS "setAside",
        '{}'::text[] AS keys, ${slotted} AS slotted`,
    values: [queue, released],
  });
  return { ...rows[0]!, setAside: rows[0]!.setAside ?? false };
}

/** All followers, by name. */
export async function selectFollowers(db: Transaction): Promise<Follower[]> {
  const rows = await db.query<Follower & { missedAfter: number | null }>({
    name: 'followers-select',
    text: `SELECT queue, stranger, keys, registered_at::text AS "registeredAt",
        CASE WHEN set_aside_at IS NOT NULL THEN missed_after END AS "missedAfter"
      FROM followers ORDER BY queue`,
  });
  return rows.map((row) => ({ ...row, missedAfter: row.missedAfter ?? undefined }));
}

/** What holds back a statement of a relay that has lost its lease. */
const fenced = holdsFence('$1', '$2');

/**
 * Notes that a queue is set aside, and has missed what comes after a position; one that is set aside already keeps its
 * first. False: the lease of the fence is lost, and nothing has changed.
 */
export async function setAside(
  db: Transaction,
  fence: Fence,
  { queue, stranger, keys, missedAfter }: SetAside,
): Promise<boolean> {
  const rows = await db.query({
    name: 'followers-set-aside',
    text: `INSERT INTO followers AS f (queue, stranger, keys, set_aside_at, missed_after)
      SELECT $3, $4, $5, clock_timestamp(), $6 WHERE set_config('synchronous_commit', 'on', true) = 'on' AND ${fenced}
      ON CONFLICT (queue) DO UPDATE SET
        set_aside_at = coalesce(f.set_aside_at, excluded.set_aside_at),
        missed_after = CASE WHEN f.set_aside_at IS NULL THEN excluded.missed_after ELSE f.missed_after END
      RETURNING queue`,
    values: [fence.name, fence.epoch, queue, stranger, keys, missedAfter],
  });
  return rows.length > 0;
}

/** Notes how much of what it has missed a queue has got. */
export async function noteCaughtUp(db: Transaction, fence: Fence, queue: string, position: number): Promise<void> {
  await db.query({
    name: 'followers-caught-up',
    text: `UPDATE followers SET missed_after = $4
      WHERE queue = $3 AND set_aside_at IS NOT NULL AND missed_after < $4 AND ${fenced}`,
    values: [fence.name, fence.epoch, queue, position],
  });
}

/**
 * Notes that a queue is no longer set aside; a stranger's is forgotten. `keys`: only if these are its keys. False: they
 * are not, or the lease of the fence is lost; nothing has changed.
 */
export async function clear(
  db: Transaction,
  fence: Fence,
  { queue, stranger }: Omit<BoundQueue, 'keys'>,
  keys?: string[],
): Promise<boolean> {
  const where = `WHERE queue = $3 AND ($4::text[] IS NULL OR keys = $4) AND ${fenced} RETURNING queue`;
  const rows = await db.query({
    name: stranger ? 'followers-clear-stranger' : 'followers-clear',
    text: stranger
      ? `DELETE FROM followers ${where}`
      : `UPDATE followers SET set_aside_at = NULL, missed_after = NULL ${where}`,
    values: [fence.name, fence.epoch, queue, keys ?? null],
  });
  return rows.length > 0;
}

/** Forgets a queue that does not exist, unless it has registered anew since the row was read. */
export async function forget(
  db: Transaction,
  { queue, registeredAt }: Pick<Follower, 'queue' | 'registeredAt'>,
): Promise<void> {
  await db.query({
    name: 'followers-forget',
    text: 'DELETE FROM followers WHERE queue = $1 AND registered_at::text = $2',
    values: [queue, registeredAt],
  });
}
