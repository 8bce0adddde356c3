/**
 * What a search looks at: parcels with what they are judged by, read along one index, a bounded number at a time. The conditions of the
 * search are judged here, so no statement reads more rows than its limit.
 */
import type { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Statement, Transaction } from '@caudal/postgres/database.ts';
import type { CodeRange } from '../domain/places/cells.ts';
import type { Point } from '../domain/places/point.ts';

export interface Candidate {
  parcel: string;
  status: ParcelStatus;
  carrierKey: string;
  customer: string | null;
  createdAt: Date;
  lastAt: Date | null;
  /** Absent of parcels whose places are not stored yet. */
  numberKey: string | null;
  point: Point | undefined;
  /** The code of the point. */
  code: bigint | undefined;
  words: string | null;
}

interface Row extends Omit<Candidate, 'point' | 'code'> {
  place: string | null;
  latitudeE7: number | null;
  longitudeE7: number | null;
}

/** Before all parcels. */
export const noParcel = '00000000-0000-0000-0000-000000000000';

const columns = `p.parcel::text, p.status, p.carrier_key AS "carrierKey", p.customer, p.created_at AS "createdAt", p.last_at AS "lastAt",
  s.number_key AS "numberKey", s.place::text, s.latitude_e7 AS "latitudeE7", s.longitude_e7 AS "longitudeE7", s.words`;

/** Those in a range of the map, by code and parcel. `after`: behind this parcel of the first code. */
export function inRange({ from, to }: CodeRange, { after, limit }: { after: string; limit: number }): Statement {
  return {
    text: `SELECT ${columns} FROM (
        SELECT * FROM parcel_places WHERE (place, parcel) > ($1::bigint, $2::uuid) AND place <= $3::bigint
        ORDER BY place, parcel LIMIT ${limit}
      ) s JOIN parcels p USING (parcel) ORDER BY s.place, s.parcel`,
    values: [from.toString(), after, to.toString()],
  };
}

/** Those whose tracking number begins so, by number. `after`: behind this number and parcel. */
export function byNumber(begin: string, { after, limit }: { after?: [string, string]; limit: number }): Statement {
  const [number, parcel] = after ?? [begin, noParcel];
  return {
    text: `SELECT ${columns} FROM (
        SELECT * FROM parcel_places WHERE (number_key, parcel) > ($1, $2::uuid) AND number_key < $3
        ORDER BY number_key, parcel LIMIT ${limit}
      ) s JOIN parcels p USING (parcel) ORDER BY s.number_key, s.parcel`,
    // Behind all that begin so: no text has a greater character.
    values: [number, parcel, `${begin}\u{10ffff}`],
  };
}

/** Each of them has an index with the time behind it. */
export type Listed = { column: keyof typeof listedTypes; value: string | number } | undefined;
const listedTypes = { customer: 'text', carrier_key: 'text', status: 'smallint' };

/** Behind all times and parcels. */
const newestOfAll: [string, string] = ['infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];

/**
 * Those with this value, or all, the newest first. `after`: behind this time and parcel. The value is a bound of the order and no
 * condition, so that no other index will do: it would have to read rows of other values.
 */
export function newestFirst(listed: Listed, { after, limit }: { after?: [Date, string]; limit: number }): Statement {
  const from = after ?? newestOfAll;
  const where = listed
    ? `(${listed.column}, created_at, parcel) < ($3::${listedTypes[listed.column]}, $1::timestamptz, $2::uuid)
        AND ${listed.column} >= $3::${listedTypes[listed.column]}`
    : '(created_at, parcel) < ($1::timestamptz, $2::uuid)';
  return {
    text: `SELECT ${columns} FROM (
        SELECT parcel, status, carrier_key, customer, created_at, last_at FROM parcels WHERE ${where}
        ORDER BY ${listed ? `${listed.column} DESC, ` : ''}created_at DESC, parcel DESC LIMIT ${limit}
      ) p LEFT JOIN parcel_places s USING (parcel) ORDER BY p.created_at DESC, p.parcel DESC`,
    values: listed ? [...from, listed.value] : from,
  };
}

export async function readCandidates(tx: Transaction, statement: Statement): Promise<Candidate[]> {
  const rows = await tx.query<Row>(statement);
  return rows.map(({ place, latitudeE7, longitudeE7, ...row }) => ({
    ...row,
    code: place === null ? undefined : BigInt(place),
    point: latitudeE7 === null || longitudeE7 === null ? undefined : { latitudeE7, longitudeE7 },
  }));
}
