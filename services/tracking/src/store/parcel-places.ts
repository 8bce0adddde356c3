/** Writes what parcels are searched by. Their rows are locked by the same transaction, so both always agree. */
import { int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { numberKey } from '../domain/parcel-id.ts';
import { codeOf } from '../domain/places/cells.ts';
import { canonical, type Point, pointAt } from '../domain/places/point.ts';
import type { Place } from '../domain/trace.ts';
import { wordsOf } from '../search/place-words.ts';

export interface PlacedParcel {
  parcel: string;
  trackingNumber: string;
  /** Where it was last; undefined if that is not known. */
  place: Place | undefined;
}

const mostKey = 100;

/** The number as searches compare it. Some letters become several when they are spelled alike, so it is cut. */
export function searchedNumber(trackingNumber: string): string {
  return [...numberKey(trackingNumber)].slice(0, mostKey).join('');
}

/** Whether a search would see a difference. */
export function isSamePlace(one: Place | undefined, other: Place | undefined): boolean {
  return one?.name === other?.name && one?.latitude === other?.latitude && one?.longitude === other?.longitude;
}

function pointOf(place: Place | undefined): Point | undefined {
  if (place?.latitude === undefined || place.longitude === undefined) return undefined;
  return canonical(pointAt(place.latitude, place.longitude));
}

export async function writePlaces(tx: Transaction, parcels: readonly PlacedParcel[]): Promise<void> {
  if (parcels.length === 0) return;
  const points = parcels.map(({ place }) => pointOf(place));
  await tx.query({
    name: 'tracking-places',
    text: `INSERT INTO parcel_places (parcel, number_key, place, latitude_e7, longitude_e7, words)
      SELECT u.parcel, u.number_key, u.place::bigint, u.latitude_e7, u.longitude_e7, u.words
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int4[], $5::int4[], $6::text[])
        u(parcel, number_key, place, latitude_e7, longitude_e7, words)
      ON CONFLICT (parcel) DO UPDATE SET place = excluded.place, latitude_e7 = excluded.latitude_e7,
        longitude_e7 = excluded.longitude_e7, words = excluded.words`,
    values: [
      uuidArray(parcels.map(({ parcel }) => parcel)),
      textArray(parcels.map(({ trackingNumber }) => searchedNumber(trackingNumber))),
      textArray(points.map((point) => (point ? codeOf(point).toString() : null))),
      int4Array(points.map((point) => point?.latitudeE7 ?? null)),
      int4Array(points.map((point) => point?.longitudeE7 ?? null)),
      textArray(parcels.map(({ place }) => wordsOf(place?.name) ?? null)),
    ],
  });
}

/** Makes a parcel known that has no trace yet; one that is known stays as it is. */
export async function nameParcel(tx: Transaction, parcel: string, trackingNumber: string): Promise<void> {
  await tx.query({
    text: `INSERT INTO parcel_places (parcel, number_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
    values: [parcel, searchedNumber(trackingNumber)],
  });
}

interface StoredParcel {
  parcel: string;
  trackingNumber: string;
  state: string | null;
}

/** Parcels of a step: their states are read, which are some kilobytes each. */
const step = 200;

/** Writes the next parcels that were there before their places were stored. True once there are no more. A repeat does no harm. */
export async function fillPlaces(tx: Transaction): Promise<boolean> {
  const [filled] = await tx.query<{ upTo: string }>({
    text: 'SELECT up_to::text AS "upTo" FROM parcel_places_filled WHERE NOT done FOR UPDATE',
  });
  if (!filled) return true;
  const rows = await tx.query<StoredParcel>({
    text: `SELECT parcel::text, tracking_number AS "trackingNumber", state FROM parcels WHERE parcel > $1::uuid
      ORDER BY parcels.parcel LIMIT ${step} FOR UPDATE`,
    values: [filled.upTo],
  });
  await writePlaces(
    tx,
    rows.map(({ parcel, trackingNumber, state }) => ({
      ...{ parcel, trackingNumber },
      place: state ? (JSON.parse(state) as { place?: Place }).place : undefined,
    })),
  );
  const done = rows.length < step;
  await tx.query({
    text: 'UPDATE parcel_places_filled SET up_to = $1::uuid, done = $2',
    values: [rows.at(-1)?.parcel ?? filled.upTo, done],
  });
  return done;
}
