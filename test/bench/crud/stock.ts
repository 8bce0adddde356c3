/**
 * For comparison: stock as a CRUD service keeps it. It has one row per product and per reservation, and a transaction
 * that locks the product's row with SELECT ... FOR UPDATE, as is common. It promises less than Caudal: it has no
 * history and publishes no changes.
 */
import type { Database } from '@caudal/postgres/database.ts';

export interface CrudStock {
  create(productId: string, quantity: number): Promise<void>;
  /** Throws if there are not enough pieces. An existing reservation is not changed. */
  reserve(reservation: { reservationId: string; productId: string; quantity: number; expireAt: Date }): Promise<void>;
}

const tables = `
  CREATE TABLE IF NOT EXISTS stock (product_id text PRIMARY KEY, on_hand int NOT NULL, reserved int NOT NULL);
  CREATE TABLE IF NOT EXISTS reservations (
    reservation_id text NOT NULL, product_id text NOT NULL REFERENCES stock, quantity int NOT NULL,
    status text NOT NULL, expire_at timestamptz NOT NULL, PRIMARY KEY (reservation_id, product_id))`;

export async function openCrudStock(database: Database): Promise<CrudStock> {
  await database.query({ text: tables });
  return {
    async create(productId, quantity) {
      await database.query({ text: 'INSERT INTO stock VALUES ($1, $2, 0)', values: [productId, quantity] });
    },
    reserve: ({ reservationId, productId, quantity, expireAt }) =>
      database.transaction(async (tx) => {
        const [stock] = await tx.query<{ available: number }>({
          name: 'crud-lock',
          text: 'SELECT on_hand - reserved AS available FROM stock WHERE product_id = $1 FOR UPDATE',
          values: [productId],
        });
        const known = await tx.query({
          name: 'crud-known',
          text: 'SELECT status FROM reservations WHERE reservation_id = $1 AND product_id = $2 FOR UPDATE',
          values: [reservationId, productId],
        });
        if (known.length > 0) return;
        if (!stock || stock.available < quantity) throw new Error(`${productId}: not enough pieces`);
        await tx.query({
          name: 'crud-reserve',
          text: "INSERT INTO reservations VALUES ($1, $2, $3, 'open', $4)",
          values: [reservationId, productId, quantity, expireAt],
        });
        await tx.query({
          name: 'crud-stock',
          text: 'UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1',
          values: [productId, quantity],
        });
      }),
  };
}
