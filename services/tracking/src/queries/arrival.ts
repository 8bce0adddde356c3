/** When a parcel arrives, as far as that is known. */
import { type Estimate, estimate, mondayToSaturday, sketchKeys } from '../domain/eta.ts';
import type { ParcelState } from '../domain/parcel-state.ts';
import { laneOf, zoneOf } from '../domain/transit.ts';
import type { ParcelColumns } from './parcel-message.ts';
import type { ReadLearnt } from './remembered.ts';

/**
 * Undefined if nothing is known, or if it is not on its way to its recipient. What was learnt is read only if it counts: the carrier has said
 * no time that is still to come.
 */
export async function arrivalOf(
  row: Pick<ParcelColumns, 'carrier' | 'destination'>,
  state: ParcelState | undefined,
  { now, readLearnt }: { now: Date; readLearnt: ReadLearnt },
): Promise<Estimate | undefined> {
  if (!state || state.ended || state.leg === 'RETURN') return undefined;
  const way = { carrier: row.carrier, destination: row.destination ?? undefined, state };
  const counts = state.startedAt !== undefined && !(state.eta !== undefined && state.eta >= now.getTime());
  return estimate({
    sketches: counts ? await readLearnt(sketchKeys(laneOf(way))) : [],
    ...(state.eta !== undefined && { carrierEta: state.eta }),
    ...(state.startedAt !== undefined && { startedAt: state.startedAt }),
    now: now.getTime(),
    zone: zoneOf(way, now.getTime()),
    calendar: mondayToSaturday,
  });
}
