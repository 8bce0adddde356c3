/** Where candidates come from: an index, in whose order they are read from any place on. */
import type { Statement } from '@caudal/postgres/database.ts';
import type { CodeRange } from '../domain/places/cells.ts';
import type { Budget } from './budget.ts';
import { byNumber, type Candidate, inRange, type Listed, newestFirst, noParcel } from './candidates.ts';
import type { Walked, WalkOptions } from './nearest.ts';
import type { OrderName, Place } from './orders.ts';

export interface Source {
  /** The order in which it is read. */
  order: Exclude<OrderName, 'distance' | 'last_trace_time desc'>;
  /** The first ones behind this place; fewer than `limit` only at the end. */
  read(after: Place | undefined, limit: number, budget: Budget): Promise<Candidate[]>;
}

/** All within ranges of the map, which are in order and apart. */
export function placesIn(ranges: CodeRange[]): Source {
  return {
    order: 'place',
    async read(after, limit, budget) {
      const code = after?.keys[0] as bigint | undefined;
      const found: Candidate[] = [];
      for (const { from, to } of ranges) {
        if (code !== undefined && to < code) continue;
        const begins = code !== undefined && code >= from;
        const range = { from: begins ? code : from, to };
        const behind = begins ? after!.parcel : noParcel;
        found.push(...(await budget.read(inRange(range, { after: behind, limit: limit - found.length }))));
        if (found.length >= limit || budget.left() === 0) break;
      }
      return found;
    },
  };
}

const listOf = (
  order: Source['order'],
  statement: (after: [never, string] | undefined, limit: number) => Statement,
): Source => ({
  order,
  read: (after, limit, budget) => budget.read(statement(after && [after.keys[0] as never, after.parcel], limit)),
});

/** All whose tracking number begins so. */
export const numbersFrom = (begin: string): Source =>
  listOf('tracking_number', (after, limit) => byNumber(begin, { ...(after && { after }), limit }));

/** All with a value, or all. */
export const newest = (listed: Listed): Source =>
  listOf('create_time desc', (after, limit) => newestFirst(listed, { ...(after && { after }), limit }));

/** A first read brings a few pages; if they have little that is wanted, the next ones bring more. */
const firstRead = 4;
const growth = 4;

/** Walks along a source, in its order, until the page is full or the budget is spent. */
export async function walk(source: Source, options: WalkOptions): Promise<Walked> {
  const { order, wants, limit, budget } = options;
  const found: Candidate[] = [];
  let place = options.after;
  for (let asked = firstRead * limit; ; asked *= growth) {
    const wanted = Math.min(asked, budget.left());
    const candidates = await source.read(place, wanted, budget);
    for (const candidate of candidates) {
      if (wants(candidate)) found.push(candidate);
      if (found.length > limit) return { found: found.slice(0, limit), next: order.placeOf(found[limit - 1]!) };
    }
    const last = candidates.at(-1);
    if (last) place = order.placeOf(last);
    if (budget.left() === 0) return { found, next: place };
    if (candidates.length < wanted) return { found, next: undefined };
  }
}

/** All of a source, or undefined if it has more than the budget allows to look at. */
export async function collect(source: Source, budget: Budget): Promise<Candidate[] | undefined> {
  const candidates = await source.read(undefined, budget.left(), budget);
  return budget.left() > 0 ? candidates : undefined;
}
