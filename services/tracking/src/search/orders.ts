/** The orders of a search. Each has keys, which a page token has, and the parcel, which makes the order total. */

import type { Shape } from '@caudal/projections/queries/page-token.ts';
import type { TypedKey } from '@caudal/projections/stores/store.ts';
import { metresBetween } from '../domain/places/distance.ts';
import type { Circle } from './area.ts';
import type { Candidate } from './candidates.ts';

export type OrderName = 'distance' | 'place' | 'tracking_number' | 'create_time desc' | 'last_trace_time desc';

/** A place in an order: of a parcel, or between two. */
export interface Place {
  keys: (TypedKey | number)[];
  parcel: string;
}

export interface Order {
  name: OrderName;
  types: Shape['types'];
  placeOf(candidate: Candidate): Place;
  /** Below 0 if the first one comes first. */
  compare(one: Place, other: Place): number;
}

/** `circle` is there for the order by distance. */
export function orderNamed(name: OrderName, circle: Circle | undefined): Order {
  const descending = name.endsWith(' desc');
  const make = (types: Order['types'], keysOf: (candidate: Candidate) => Place['keys']): Order => ({
    ...{ name, types },
    placeOf: (candidate) => ({ keys: keysOf(candidate), parcel: candidate.parcel }),
    compare: (one, other) => compare(one, other) * (descending ? -1 : 1),
  });
  switch (name) {
    case 'distance':
      return make(['score', 'long'], ({ point, code }) => [metresBetween(circle!.center, point!), code!]);
    case 'place':
      return make(['long'], ({ code }) => [code!]);
    case 'tracking_number':
      return make(['keyword'], ({ numberKey }) => [numberKey]);
    case 'create_time desc':
      return make(['timestamp'], ({ createdAt }) => [createdAt]);
    case 'last_trace_time desc':
      return make(['timestamp'], ({ lastAt }) => [lastAt]);
  }
}

function compare(one: Place, other: Place): number {
  for (const [place, key] of one.keys.entries()) {
    const difference = compareKeys(key, other.keys[place]!);
    if (difference !== 0) return difference;
  }
  // As PostgreSQL compares texts of COLLATE "C" and uuids: by their bytes.
  return Buffer.compare(Buffer.from(one.parcel), Buffer.from(other.parcel));
}

function compareKeys(one: TypedKey | number, other: TypedKey | number): number {
  if (one === null || other === null) return Number(one !== null) - Number(other !== null);
  if (typeof one === 'string') return Buffer.compare(Buffer.from(one), Buffer.from(other as string));
  return one < other ? -1 : one > other ? 1 : 0;
}
