/** When a parcel arrives, as far as that is known. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { type Estimate, estimate, mondayToSaturday, sketchKeys } from '../domain/eta.ts';
import { laneOf, zoneOf } from '../domain/transit.ts';
import { readSketches } from '../store/transit-sketches.ts';
import { type ParcelColumns, stateOf } from './parcel-message.ts';

/**
 * Undefined if nothing is known, or if it is not on its way to its recipient. What was learnt is read only if it counts: the carrier has said
 * no time that is still to come.
 */
export async function arrivalOf(
  database: Pick<Transaction, 'query'>,
  row: ParcelColumns,
  now: Date,
): Promise<Estimate | undefined> {
  const state = stateOf(row);
  if (!state || state.ended || state.leg === 'RETURN') return undefined;
  const way = { carrier: row.carrier, destination: row.destination ?? undefined, state };
  const counts = state.startedAt !== undefined && !(state.eta !== undefined && state.eta >= now.getTime());
  return estimate({
    sketches: counts ? await readSketches(database, sketchKeys(laneOf(way))) : [],
    ...(state.eta !== undefined && { carrierEta: state.eta }),
    ...(state.startedAt !== undefined && { startedAt: state.startedAt }),
    now: now.getTime(),
    zone: zoneOf(way, now.getTime()),
    calendar: mondayToSaturday,
  });
}
