/** What jobs and sagas do with the rows of carts, without opening them. */
import type { Database, Transaction } from '@caudal/postgres/database.ts';

export interface IdleCart {
  cartId: string;
  lines: number;
  mayRemind: boolean;
  changedAt: Date;
}

/** How many rows a statement of a job touches. */
const together = 500;

/** Where a job has got to: carts come in the order of their last changes. */
export interface Place {
  changedAt: Date;
  cartId: string;
}

/** Before all carts. */
export const start: Place = { changedAt: new Date(0), cartId: '' };

/** Customers' carts with lines, not changed since `before`, that were not found abandoned yet: the longest idle first, after a place. */
export function findIdle(db: Transaction, before: Date, after: Place): Promise<IdleCart[]> {
  return db.query({
    text: `SELECT cart_id AS "cartId", lines, may_remind AS "mayRemind", changed_at AS "changedAt" FROM carts
      WHERE changed_at < $1 AND abandoned_at IS NULL AND lines > 0 AND cart_id LIKE 'c/%'
        AND (changed_at, cart_id) > ($2, $3) ORDER BY changed_at, cart_id LIMIT ${together}`,
    values: [before, after.changedAt, after.cartId],
  });
}

/** Notes that a cart was found abandoned, if it has not changed since. */
export async function noteAbandoned(db: Transaction, { cartId, changedAt }: IdleCart, now: Date): Promise<void> {
  const text = 'UPDATE carts SET abandoned_at = $3 WHERE cart_id = $1 AND changed_at = $2';
  await db.query({ text, values: [cartId, changedAt, now] });
}

/** Deletes carts that have not changed for long, and are not being checked out. Returns how many. */
export async function deleteExpired(db: Transaction, before: { guests: Date; customers: Date }): Promise<number> {
  const rows = await db.query({
    text: `DELETE FROM carts WHERE cart_id IN (
        SELECT cart_id FROM carts WHERE NOT checking_out AND changed_at < greatest($1::timestamptz, $2::timestamptz)
          AND changed_at < CASE WHEN cart_id LIKE 'g/%' THEN $1::timestamptz ELSE $2::timestamptz END
        LIMIT ${together} FOR UPDATE SKIP LOCKED)
      RETURNING cart_id`,
    values: [before.guests, before.customers],
  });
  return rows.length;
}

/** Deletes what is remembered of idempotency keys. Returns how many. */
export async function deleteCommands(db: Transaction, before: Date): Promise<number> {
  const rows = await db.query({
    text: `DELETE FROM cart_commands WHERE (cart_id, key) IN (
        SELECT cart_id, key FROM cart_commands WHERE made_at < $1 LIMIT ${together})
      RETURNING key`,
    values: [before],
  });
  return rows.length;
}

/** Carts whose checkout has begun and not ended, not changed since `before`, after a place. */
export function findCheckingOut(db: Transaction, before: Date, after: Place): Promise<Place[]> {
  return db.query({
    text: `SELECT cart_id AS "cartId", changed_at AS "changedAt" FROM carts WHERE checking_out AND changed_at < $1
        AND (changed_at, cart_id) > ($2, $3) ORDER BY changed_at, cart_id LIMIT ${together}`,
    values: [before, after.changedAt, after.cartId],
  });
}

/** Locks the id of a cart that has no row, until the transaction ends. */
export async function lockId(tx: Transaction, cartId: string): Promise<void> {
  await tx.query({
    name: 'carts-lock-id',
    text: "SELECT pg_advisory_xact_lock(hashtextextended('carts.' || $1, 0))",
    values: [cartId],
  });
}

/** Deletes a cart and what is remembered of its commands. What makes the row at the same time ends before it, or begins after it. */
export async function deleteCart(database: Pick<Database, 'transaction'>, cartId: string): Promise<void> {
  await database.transaction(async (tx) => {
    await lockId(tx, cartId);
    await tx.query({ text: 'DELETE FROM carts WHERE cart_id = $1', values: [cartId] });
    await tx.query({ text: 'DELETE FROM cart_commands WHERE cart_id = $1', values: [cartId] });
  });
}
