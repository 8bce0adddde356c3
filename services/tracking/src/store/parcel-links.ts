/** Public links to parcels' pages: the table `parcel_links`. A link's token is random, and only its hash is stored. */
import { randomBytes } from 'node:crypto';
import { linkErasure } from '@caudal/contract/entities.ts';
import { selectStreamHeads } from '@caudal/eventlog/streams.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { sha256 } from '@caudal/kernel/sha256.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { type ParcelColumns, parcelColumns } from '../queries/parcel-message.ts';

/** Of a parcel: one more ends the oldest. */
const maxLinks = 10;
const dayMs = 86_400_000;
/** How long a link lives: longer than parcels travel, and than returns take. */
const linkDays = 180;

/** A new token: 256 random bits. */
const newToken = () => randomBytes(32).toString('base64url');

export type LinkedParcel = Pick<ParcelColumns, 'parcel' | 'shipment' | 'customer'>;

interface NewLink {
  token: string;
  endsAt: Date;
}

/**
 * Makes a link, which is on disk then. It shows the parcel for as long as this belongs to the shipment that it has now. Refused:
 * FAILED_PRECONDITION CUSTOMER_ERASED.
 */
export async function makeLink(
  database: Pick<Database, 'transaction'>,
  { parcel, shipment, customer }: LinkedParcel,
  now: Date,
): Promise<NewLink> {
  const token = newToken();
  const endsAt = new Date(now.getTime() + linkDays * dayMs);
  await database.transaction(async (tx) => {
    // Links that are made at the same time would not see each other.
    await tx.query({
      text: `SELECT pg_advisory_xact_lock(hashtextextended('links ' || $1, 0)), set_config('synchronous_commit', 'on', true)`,
      values: [parcel],
    });
    if (customer !== null) await refuseErased(tx, customer);
    await tx.query({
      text: `DELETE FROM parcel_links WHERE hash IN
        (SELECT hash FROM parcel_links WHERE parcel = $1 ORDER BY created_at DESC, hash OFFSET $2)`,
      values: [parcel, maxLinks - 1],
    });
    await tx.query({
      text: `INSERT INTO parcel_links (hash, parcel, shipment, customer, created_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)`,
      values: [sha256(token), parcel, shipment, customer, now, endsAt],
    });
  });
  return { token, endsAt };
}

/**
 * The saga's stream begins before it deletes links, and it waits for those that are being made. So a link is refused, or is deleted with the
 * others.
 */
async function refuseErased(tx: Transaction, customer: string): Promise<void> {
  await tx.query({ text: `SELECT pg_advisory_xact_lock_shared(${lockOfCustomer})`, values: [customer] });
  const stream = `${linkErasure.name}/${customer}`;
  const [first] = await selectStreamHeads(tx, { prefix: stream, limit: 1 });
  if (first?.stream === stream)
    throw refused(
      'CUSTOMER_ERASED',
      `The customer "${customer}" was erased: there are no public links to their parcels.`,
    );
}

const lockOfCustomer = "hashtextextended('links of ' || $1, 0)";

/**
 * The parcel of a link; undefined if the link is unknown, has ended, was revoked, or is of another shipment's time. All of these are one
 * look-up of a hash that finds nothing.
 */
export async function parcelOfLink(
  database: Pick<Transaction, 'query'>,
  token: string,
  now: Date,
): Promise<ParcelColumns | undefined> {
  const rows = await database.query<ParcelColumns>({
    name: 'tracking-page',
    text: `SELECT ${parcelColumns} FROM (
        SELECT p.* FROM parcel_links l JOIN parcels p ON p.parcel = l.parcel AND p.shipment IS NOT DISTINCT FROM l.shipment
        WHERE l.hash = $1 AND l.ends_at > $2
      ) parcels`,
    values: [sha256(token), now],
  });
  return rows[0];
}

/** Ends all links of the parcel, and says how many there were that had not ended. */
export async function revokeLinks(database: Pick<Database, 'transaction'>, parcel: string, now: Date): Promise<number> {
  return database.transaction(async (tx) => {
    await tx.query({ text: "SELECT set_config('synchronous_commit', 'on', true)" });
    const ended = await tx.query<{ live: boolean }>({
      text: 'DELETE FROM parcel_links WHERE parcel = $1 RETURNING ends_at > $2 AS live',
      values: [parcel, now],
    });
    return ended.filter(({ live }) => live).length;
  });
}

/** Deletes the links that were made for parcels of this customer, also those that are being made. */
export async function deleteLinksOf(database: Pick<Database, 'transaction'>, customer: string): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query({
      text: `SELECT set_config('synchronous_commit', 'on', true), pg_advisory_xact_lock(${lockOfCustomer})`,
      values: [customer],
    });
    await tx.query({ text: 'DELETE FROM parcel_links WHERE customer = $1', values: [customer] });
  });
}

/** Deletes links that have ended, at most 1,000, and says how many. */
export async function deleteEndedLinks(tx: Pick<Transaction, 'query'>, now: Date): Promise<number> {
  const deleted = await tx.query({
    text: `DELETE FROM parcel_links WHERE hash IN (SELECT hash FROM parcel_links WHERE ends_at <= $1 LIMIT 1000) RETURNING 1`,
    values: [now],
  });
  return deleted.length;
}
