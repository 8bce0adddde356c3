/** Traces of the benchmark `tracking`, some 150 bytes each. */
import { ParcelStatus, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { randomFrom } from '@caudal/testing/random.ts';

/** Traces of a parcel. */
export const ofParcel = 4;
export const carrier = 'ACME';

const dayMs = 86_400_000;
const place = { name: 'Lyon', country: 'FR', position: undefined };
const statuses = [
  ParcelStatus.PARCEL_STATUS_PRE_TRANSIT,
  ParcelStatus.PARCEL_STATUS_IN_TRANSIT,
  ParcelStatus.PARCEL_STATUS_OUT_FOR_DELIVERY,
  ParcelStatus.PARCEL_STATUS_DELIVERED,
];

export interface SomeTraces {
  bodies: Uint8Array[];
  /** Of their parcels. */
  numbers: string[];
}

/** Traces of new parcels. */
export function tracesOf(count: number): SomeTraces {
  const round = newId();
  const now = Date.now();
  const numbers = Array.from({ length: Math.ceil(count / ofParcel) }, (_, n) => `${round}${n}`);
  const bodies = Array.from({ length: count }, (_, index) =>
    Trace.encode(
      Trace.fromPartial({
        ...{ carrier, trackingNumber: numbers[index % numbers.length]!, place },
        happenTime: new Date(now - index * 1_000),
        receiveTime: new Date(now),
        status: ParcelStatus.PARCEL_STATUS_IN_TRANSIT,
        detail: 'Arrived at the sorting centre',
      }),
    ).finish(),
  );
  return { bodies, numbers };
}

/** Traces of parcels that are all delivered within seven days, each once, in the order in which they happened. */
export function ordered(count: number): Uint8Array[] {
  const random = randomFrom(7);
  const parcels = Math.ceil(count / ofParcel);
  const [first, receiveTime] = [Date.now() - 8 * dayMs, new Date()];
  return Array.from({ length: count }, (_, index) => {
    const step = Math.floor(index / parcels);
    const happenTime = new Date(first + step * 1.7 * dayMs + Math.floor(random() * dayMs));
    const detail = `Step ${step}`;
    const trackingNumber = `ORDERED${index % parcels}`;
    return Trace.fromPartial({
      ...{ carrier, trackingNumber, happenTime, receiveTime, detail, place },
      status: statuses[step]!,
    });
  })
    .sort((a, b) => a.happenTime!.getTime() - b.happenTime!.getTime())
    .map((trace) => Trace.encode(trace).finish());
}

/** Each of them twice, in any order. */
export function twiceShuffled(bodies: readonly Uint8Array[]): Uint8Array[] {
  const random = randomFrom(11);
  const all = [...bodies, ...bodies];
  for (let n = all.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [all[n], all[other]] = [all[other]!, all[n]!];
  }
  return all;
}
