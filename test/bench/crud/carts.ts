/**
 * For comparison: carts as a CRUD service keeps them. It has one row per cart and per line, and a transaction that locks the cart's
 * row, adds the pieces and reads the lines for its answer. It promises less than Caudal: it recognises no repeats, and can't merge what a
 * device has changed offline.
 */
import type { Database } from '@caudal/postgres/database.ts';

export interface CrudCarts {
  open(cartIds: string[]): Promise<void>;
  /** The lines after it. */
  add(change: { cartId: string; productId: string; quantity: number }): Promise<unknown[]>;
}

const tables = `
  CREATE TABLE IF NOT EXISTS carts (cart_id text PRIMARY KEY, version int NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE IF NOT EXISTS cart_lines (cart_id text NOT NULL REFERENCES carts, product_id text NOT NULL,
    quantity bigint NOT NULL, PRIMARY KEY (cart_id, product_id))`;

export async function openCrudCarts(database: Database): Promise<CrudCarts> {
  await database.query({ text: tables });
  return {
    async open(cartIds) {
      await database.query({ text: 'INSERT INTO carts SELECT unnest($1::text[])', values: [cartIds] });
    },
    add: ({ cartId, productId, quantity }) =>
      database.transaction(async (tx) => {
        const [cart] = await tx.query<{ version: number }>({
          name: 'crud-lock-cart',
          text: 'SELECT version FROM carts WHERE cart_id = $1 FOR UPDATE',
          values: [cartId],
        });
        if (!cart) throw new Error(`${cartId}: no such cart`);
        await tx.query({
          name: 'crud-add-line',
          text: `INSERT INTO cart_lines VALUES ($1, $2, $3)
            ON CONFLICT (cart_id, product_id) DO UPDATE SET quantity = cart_lines.quantity + excluded.quantity`,
          values: [cartId, productId, quantity],
        });
        await tx.query({
          name: 'crud-cart',
          text: 'UPDATE carts SET version = version + 1, changed_at = now() WHERE cart_id = $1',
          values: [cartId],
        });
        return tx.query({
          name: 'crud-cart-lines',
          text: 'SELECT product_id, quantity FROM cart_lines WHERE cart_id = $1',
          values: [cartId],
        });
      }),
  };
}
