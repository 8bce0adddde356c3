/**
 * For comparison: wallets as plain SQL keeps them. It has one row per wallet and two entries per transfer, and a transaction
 * that locks both rows in the order of their ids. It promises less than Caudal: it recognises no repeats, and publishes no
 * changes.
 */
import type { Database } from '@caudal/postgres/database.ts';

export interface CrudWallets {
  open(walletIds: string[], balance: number): Promise<void>;
  /** Throws if there is not enough money. */
  transfer(transfer: { transferId: string; from: string; to: string; amount: number }): Promise<void>;
}

const tables = `
  CREATE TABLE IF NOT EXISTS wallets (wallet_id text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
  CREATE TABLE IF NOT EXISTS entries (
    transfer_id uuid NOT NULL, wallet_id text NOT NULL REFERENCES wallets, amount bigint NOT NULL,
    balance bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (transfer_id, wallet_id))`;

export async function openCrudWallets(database: Database): Promise<CrudWallets> {
  await database.query({ text: tables });
  return {
    async open(walletIds, balance) {
      await database.query({
        text: 'INSERT INTO wallets SELECT unnest($1::text[]), $2',
        values: [walletIds, balance],
      });
    },
    transfer: ({ transferId, from, to, amount }) =>
      database.transaction(async (tx) => {
        const rows = await tx.query<{ walletId: string; balance: string }>({
          name: 'crud-lock-wallets',
          text: `SELECT wallet_id AS "walletId", balance FROM wallets WHERE wallet_id IN ($1, $2)
            ORDER BY wallet_id FOR UPDATE`,
          values: [from, to],
        });
        const balance = Number(rows.find(({ walletId }) => walletId === from)?.balance);
        if (!(balance >= amount)) throw new Error(`${from}: not enough money`);
        await tx.query({
          name: 'crud-transfer',
          text: `WITH moved AS (
              UPDATE wallets SET balance = balance + CASE wallet_id WHEN $2 THEN -$4::bigint ELSE $4::bigint END
              WHERE wallet_id IN ($2, $3) RETURNING wallet_id, balance)
            INSERT INTO entries (transfer_id, wallet_id, amount, balance)
            SELECT $1, wallet_id, CASE wallet_id WHEN $2 THEN -$4::bigint ELSE $4::bigint END, balance FROM moved`,
          values: [transferId, from, to, amount],
        });
      }),
  };
}
