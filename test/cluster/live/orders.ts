/** The state of all orders, by the orders' log. */
import { Client } from 'pg';
import type { Release } from './release.ts';

export interface Orders {
  placed: number;
  /** Neither confirmed nor rejected yet. */
  open: number;
}

export async function countOrders({ stores }: Release): Promise<Orders> {
  const client = new Client({ connectionString: stores.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ placed: string; open: string }>(
      `SELECT count(*) AS placed, count(*) FILTER (WHERE NOT settled) AS open FROM (
         SELECT bool_or(type IN ('orders.order.confirmed.v1', 'orders.order.rejected.v1', 'orders.order.cancelled.v1')) AS settled
         FROM orders.events WHERE type LIKE 'orders.order.%' GROUP BY stream
       ) AS orders`,
    );
    return { placed: Number(rows[0]!.placed), open: Number(rows[0]!.open) };
  } finally {
    await client.end();
  }
}
