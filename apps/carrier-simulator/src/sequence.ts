/** The order in which events are sent: in order, or as networks and carriers do it. */
import type { Item } from './formats.ts';
import { parcelOf, type World } from './parcels.ts';
import { between, randomOf } from './random.ts';

export interface Sent extends Item {
  /** It was sent before. */
  duplicate: boolean;
}

export interface Disturbance {
  /** The share of events that are sent twice, from 0 to 1. */
  duplicates: number;
  /** How many events a sent one may overtake; 0: none. */
  disorder: number;
}

/** The events of the parcels from 0 up to `parcels`. Its memory is bounded by `disorder`. */
export function* sequenceOf(world: World, parcels: number, { duplicates, disorder }: Disturbance): Generator<Sent> {
  const random = randomOf(world.seed, parcels, 2);
  const waiting: Sent[] = [];
  const take = (): Sent => {
    const at = between(random, 0, waiting.length - 1);
    const last = waiting.pop()!;
    if (at === waiting.length) return last;
    const taken = waiting[at]!;
    waiting[at] = last;
    return taken;
  };
  for (let index = 0; index < parcels; index++) {
    const parcel = parcelOf(world, index);
    for (const event of parcel.events) {
      const twice = random() < duplicates;
      for (const duplicate of twice ? [false, true] : [false]) {
        if (disorder === 0) yield { parcel, event, duplicate };
        else waiting.push({ parcel, event, duplicate });
      }
      while (waiting.length > disorder) yield take();
    }
  }
  while (waiting.length > 0) yield take();
}
