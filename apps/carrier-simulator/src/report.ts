/** What was sent: counts, and a sum over all events that does not depend on their order, to compare with what was received. */
import { hash } from 'node:crypto';
import type { Item } from './formats.ts';
import { type Carrier, carriers, type Parcel, parcelOf, type World } from './parcels.ts';
import type { Sent } from './sequence.ts';

export interface Report {
  seed: number;
  parcels: number;
  /** Events that were taken, and how many of these were sent for the second time. */
  events: number;
  duplicates: number;
  /** Of each carrier, without duplicates. */
  byCarrier: Record<Carrier, number>;
  /** `sumOf` all events without duplicates, in decimal. */
  sum: string;
  outcomes: Record<Parcel['outcome'], number>;
  calls: number;
  /** Calls that were sent again because the receiver was full or away. */
  repeats: number;
  /** Events that the receiver has not taken. */
  failed: number;
}

export interface Tally {
  taken(sent: Sent): void;
  failed(events: number): void;
  called(repeats: number): void;
  report(): Report;
}

/** A number for an event: the first 8 bytes of a hash of carrier, tracking number and time. They are added modulo 2^64. */
export function numberOf({ parcel, event }: Item): bigint {
  const text = `${parcel.carrier}|${parcel.trackingNumber}|${new Date(event.at).toISOString()}`;
  return hash('sha256', text, 'buffer').readBigUInt64BE(0);
}

/** Counts a run. */
export function tallyOf(world: World, parcels: number): Tally {
  const byCarrier = Object.fromEntries(carriers.map((carrier) => [carrier, 0])) as Record<Carrier, number>;
  const counts = { events: 0, duplicates: 0, calls: 0, repeats: 0, failed: 0 };
  let sum = 0n;
  return {
    taken(sent) {
      counts.events += 1;
      if (sent.duplicate) {
        counts.duplicates += 1;
        return;
      }
      byCarrier[sent.parcel.carrier] += 1;
      sum = BigInt.asUintN(64, sum + numberOf(sent));
    },
    failed(events) {
      counts.failed += events;
    },
    called(repeats) {
      counts.calls += 1;
      counts.repeats += repeats;
    },
    report() {
      const outcomes = { DELIVERED: 0, RETURNED: 0 };
      for (let index = 0; index < parcels; index++) outcomes[parcelOf(world, index).outcome] += 1;
      return { seed: world.seed, parcels, ...counts, byCarrier, sum: String(sum), outcomes };
    },
  };
}
