/** What the public page shows of the place of a trace: nothing that could lead to a door. */
import type { Seen } from '../domain/parcel-state.ts';
import type { Place, Status } from '../domain/trace.ts';

/** There the carrier is at somebody's door: names of places may be addresses, and its words name who has opened. */
const atTheDoor: ReadonlySet<Status> = new Set(['DELIVERED', 'FAILED_ATTEMPT']);

export const isAtTheDoor = ({ status }: Pick<Seen, 'status'>): boolean => status !== undefined && atTheDoor.has(status);

export interface SeenPlace {
  /** `Lyon, FR`; undefined if it has no name. */
  name: string | undefined;
  /** Tenths of a degree, some 10 km. */
  position: { latitude: number; longitude: number } | undefined;
}

/** Undefined if nothing of it is shown. */
export function placeOf(seen: Pick<Seen, 'status' | 'place'>): SeenPlace | undefined {
  if (!seen.place) return undefined;
  const { name, country, latitude, longitude } = seen.place as Place;
  const parts = [isAtTheDoor(seen) ? undefined : name, country].filter(Boolean);
  const isPosition = !isAtTheDoor(seen) && latitude !== undefined && longitude !== undefined;
  if (parts.length === 0 && !isPosition) return undefined;
  return {
    name: parts.length > 0 ? parts.join(', ') : undefined,
    position: isPosition ? { latitude: coarse(latitude), longitude: coarse(longitude) } : undefined,
  };
}

const coarse = (degrees: number) => Math.round(degrees * 10) / 10;
