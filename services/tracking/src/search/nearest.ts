/**
 * The nearest parcels first, as far as asked for: cells of the map are looked at in the order of their least distance, and those with many
 * parcels are quartered. So what is read is what is near, wherever the poles and the antimeridian are. README, Search by place.
 */
import { type Cell, cellsOver, quarters, rangeOf, rectOf } from '../domain/places/cells.ts';
import { distancesTo, metresBetween, rectsAround } from '../domain/places/distance.ts';
import type { Circle } from './area.ts';
import { type Budget, tooCostly } from './budget.ts';
import { type Candidate, inRange, noParcel } from './candidates.ts';
import { openHeap } from './heap.ts';
import type { Order, Place } from './orders.ts';

/** Parcels of a cell that are read at once. If there are more, it is quartered. */
const ofCell = 64;
/** Cells to begin with: a statement each. */
const firstCells = 12;

export interface Walked {
  found: Candidate[];
  /** Where the next page begins; undefined at the end. */
  next: Place | undefined;
}

export interface WalkOptions {
  order: Order;
  /** Where the page before ended. */
  after: Place | undefined;
  wants(candidate: Candidate): boolean;
  limit: number;
  budget: Budget;
}

/** What is still to come: a parcel, or a cell, whose place is that of the first parcel that it can have. */
interface Waiting {
  place: Place;
  candidate?: Candidate;
  cell?: Cell;
}

/** Throws QUERY_TOO_COSTLY if so many parcels are at the distance of the place that none behind it is reached. */
export async function nearest({ center, metres }: Circle, options: WalkOptions): Promise<Walked> {
  const { order, after, wants, limit, budget } = options;
  const heap = openHeap<Waiting>((one, other) => order.compare(one.place, other.place));
  const isBehind = (place: Place) => !after || order.compare(place, after) > 0;
  const begin = (after?.keys[0] as number | undefined) ?? 0;

  function addCell(cell: Cell): void {
    const { from } = rangeOf(cell);
    if (cell.size > 1) {
      const { least, most } = distancesTo(center, rectOf(cell));
      if (least <= metres && most >= begin) heap.push({ cell, place: { keys: [least, from], parcel: noParcel } });
      return;
    }
    const { south, west } = rectOf(cell);
    const distance = metresBetween(center, { latitudeE7: south, longitudeE7: west });
    const place = { keys: [distance, from], parcel: noParcel };
    if (distance > metres) return;
    if (isBehind(place)) heap.push({ cell, place });
    // The page before ended within this point.
    else if (after!.keys[0] === distance && after!.keys[1] === from) heap.push({ cell, place: after! });
  }

  async function open(cell: Cell, first: Place): Promise<void> {
    const isPoint = cell.size === 1;
    const behind = isPoint ? first.parcel : noParcel;
    const candidates = await budget.read(inRange(rangeOf(cell), { after: behind, limit: ofCell }));
    const isAll = candidates.length < ofCell;
    if (!isAll && !isPoint) {
      for (const quarter of quarters(cell)) addCell(quarter);
      return;
    }
    for (const candidate of candidates) {
      const place = order.placeOf(candidate);
      if ((place.keys[0] as number) <= metres && isBehind(place)) heap.push({ candidate, place });
    }
    const last = candidates.at(-1);
    if (!isAll && last) heap.push({ cell, place: { keys: first.keys, parcel: last.parcel } });
  }

  for (const cell of cellsOver(rectsAround(center, metres), firstCells)) addCell(cell);
  const found: Candidate[] = [];
  for (let next = heap.pop(); next; next = heap.pop()) {
    if (next.candidate && wants(next.candidate)) found.push(next.candidate);
    if (found.length > limit) return { found: found.slice(0, limit), next: order.placeOf(found[limit - 1]!) };
    if (!next.cell) continue;
    if (budget.left() === 0) {
      // All before this cell was looked at.
      if (isBehind(next.place)) return { found, next: next.place };
      throw tooCostly('meets too many parcels at the same distance: narrow its distance or its conditions');
    }
    await open(next.cell, next.place);
  }
  return { found, next: undefined };
}
