/** What a parcel's traces say of its way: the lane, the time on it, and the zone at its end. docs/parcel-eta.md. */
import { type Lane, mondayToSaturday, type Transit } from './eta.ts';
import { carrierKey } from './parcel-id.ts';
import type { ParcelState } from './parcel-state.ts';
import { zoneOfCountry } from './zones.ts';

export interface Way {
  carrier: string;
  /** The country that its shipment goes to. */
  destination: string | undefined;
  state: ParcelState;
}

const utc = '+00:00';

/** Whether it says how long it took: it was moved before it was delivered. Scans may come late, so this may become true after the delivery. */
export function hasTransit({ leg, startedAt, deliveredAt }: ParcelState): boolean {
  return leg === 'OUTWARD' && deliveredAt !== undefined && startedAt !== undefined && startedAt < deliveredAt;
}

/** Countries at both ends, as far as they are known. The end of a parcel without a shipment is known once it is there. */
export function laneOf({ carrier, destination, state }: Way): Lane {
  const first = state.recent.findLast(({ place }) => place?.country)?.place?.country;
  const last = state.deliveredAt === undefined ? undefined : state.place?.country;
  return { carrier: carrierKey(carrier), from: first, to: destination ?? last };
}

/** The zone of the place of delivery; of a parcel without a destination, that of its last place. */
export function zoneOf({ destination, state }: Way, at: number): string {
  const country = destination ?? state.place?.country;
  return (country && zoneOfCountry(country, at)?.zone) || utc;
}

/** What is learnt of one for which `hasTransit`. */
export function transitOf(way: Way): Transit {
  const { startedAt, deliveredAt } = way.state;
  return {
    ...{ startedAt: startedAt!, deliveredAt: deliveredAt! },
    zone: zoneOf(way, deliveredAt!),
    calendar: mondayToSaturday,
  };
}
