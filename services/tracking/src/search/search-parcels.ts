/**
 * A page of a search for parcels. It is one read of the database: its statements see the same moment. How many parcels a call looks at is
 * bounded: docs/parcel-search.md.
 */
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { Parcel, SearchParcelsRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { uuidArray } from '@caudal/postgres/arrays.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { carrierKey } from '../domain/parcel-id.ts';
import { cellsOver, rangesOf } from '../domain/places/cells.ts';
import { metresBetween } from '../domain/places/distance.ts';
import { listedParcel, type ParcelColumns, parcelColumns } from '../queries/parcel-message.ts';
import { searchedNumber } from '../store/parcel-places.ts';
import { type Area, areaOf } from './area.ts';
import { openBudget, statementMs, tooCostly } from './budget.ts';
import type { Candidate } from './candidates.ts';
import { nearest, type Walked, type WalkOptions } from './nearest.ts';
import { type Order, type OrderName, orderNamed, type Place } from './orders.ts';
import { openWords } from './place-words.ts';
import { collect, newest, numbersFrom, placesIn, type Source, walk } from './sources.ts';

/** A call looks at so many parcels, and before at so many of each index that may have but a few. */
const mostLooked = 10_000;
const mostProbed = 1_000;
/** Ranges of the map for an area: a statement each. */
const mostRanges = 24;
export const outOfTime = '57014';

interface Search {
  area: Area | undefined;
  /** The beginning of a tracking number, or ''. */
  number: string;
  carrier: string;
  order: Order;
  after: Place | undefined;
  shape: Shape;
  limit: number;
  wants(candidate: Candidate): boolean;
}

/** Everything is checked before anything is read. Errors: INVALID_ARGUMENT; QUERY_TOO_COSTLY. */
export async function searchParcels(
  database: Pick<Database, 'transaction'>,
  request: SearchParcelsRequest,
): Promise<{ parcels: Parcel[]; nextPageToken: string }> {
  const search = searchOf(request);
  const { shape, area } = search;
  try {
    return await database.transaction(async (tx) => {
      await tx.query({ text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY' });
      await tx.query({ text: `SET LOCAL statement_timeout = ${statementMs}` });
      const { found, next } = await pageOf(tx, request, search);
      const rows = await rowsOf(tx, found);
      return {
        parcels: found.map(({ parcel, point }) => ({
          ...listedParcel(rows.get(parcel)!),
          distanceMetres: area?.circle && point && metresBetween(area.circle.center, point),
        })),
        nextPageToken: next ? encodeToken({ generation: 1, keys: next.keys, id: next.parcel }, shape) : '',
      };
    });
  } catch (error) {
    throw sqlState(error) === outOfTime ? tooCostly('takes too long: narrow its conditions', error) : error;
  }
}

function searchOf(request: SearchParcelsRequest): Search {
  const area = areaOf(request);
  const { customerId, status, place, pageToken } = request;
  const number = searchedNumber(request.trackingNumber);
  const carrier = carrierKey(request.carrier);
  const hasWords = place === '' ? undefined : openWords(place);
  const order = orderNamed(orderFor(request, area, number), area?.circle);
  const areas = [request.withinDistance, request.withinBox, request.withinPolygon];
  const shape: Shape = {
    projection: 'parcel-search',
    query: [customerId, areas, status, carrier, number, place],
    types: order.types,
    order: order.name,
  };
  const token = pageToken ? decodeToken(pageToken, shape) : undefined;
  return {
    ...{ area, number, carrier, order, shape },
    after: token && { keys: token.keys, parcel: token.id },
    limit: pageLimit(request.pageSize),
    wants: (candidate) =>
      (customerId === '' || candidate.customer === customerId) &&
      (!status || candidate.status === status) &&
      (carrier === '' || candidate.carrierKey === carrier) &&
      (number === '' || (candidate.numberKey?.startsWith(number) ?? false)) &&
      (!hasWords || hasWords(candidate.words)) &&
      (!area || (candidate.point !== undefined && area.contains(candidate.point))),
  };
}

const orders: OrderName[] = ['distance', 'place', 'tracking_number', 'create_time desc', 'last_trace_time desc'];

function orderFor({ orderBy }: SearchParcelsRequest, area: Area | undefined, number: string): OrderName {
  const usual = area ? (area.circle ? 'distance' : 'place') : number ? 'tracking_number' : 'create_time desc';
  const known: ListOrders = Object.fromEntries([usual, ...orders].map((name) => [name, []]));
  const name = listOrder(orderBy, known).order as OrderName;
  if (name === 'distance' && !area?.circle)
    throw invalidField('order_by', 'must not be "distance" without within_distance');
  if (name === 'place' && !area)
    throw invalidField('order_by', 'must not be "place" without within_distance, within_box or within_polygon');
  return name;
}

/**
 * If an index has few parcels for a condition, these are looked at and sorted. Else the index of the order is walked along, so that a page
 * costs the same wherever it begins.
 */
async function pageOf(tx: Transaction, request: SearchParcelsRequest, search: Search): Promise<Walked> {
  const { area, number, order, limit, wants, after } = search;
  const few: Source[] = [];
  if (request.customerId) few.push(newest({ column: 'customer', value: request.customerId }));
  if (number) few.push(numbersFrom(number));
  for (const source of few) {
    const all = source.order !== order.name && (await collect(source, openBudget(tx, mostProbed)));
    if (all) return sorted(all, search);
  }
  const budget = openBudget(tx, mostLooked);
  const options: WalkOptions = { order, after, wants, limit, budget };
  const ranges = () => placesIn(rangesOf(cellsOver(area!.rects, mostRanges)));
  switch (order.name) {
    case 'distance':
      return nearest(area!.circle!, options);
    case 'place':
      return walk(ranges(), options);
    case 'tracking_number':
      return walk(numbersFrom(number), options);
    case 'create_time desc':
      return walk(newest(listedBy(request, search)), options);
    case 'last_trace_time desc': {
      const source = few[0] ?? (area ? ranges() : newest(listedBy(request, search)));
      const all = await collect(source, budget);
      if (all) return sorted(all, search);
      const fix = `narrow its conditions, or leave order_by out`;
      throw tooCostly(`meets more than ${mostLooked} parcels, too many to sort by their last trace: ${fix}`);
    }
  }
}

/** The narrowest of the conditions that have an index with the time. */
function listedBy({ customerId, status }: SearchParcelsRequest, { carrier }: Search) {
  if (customerId) return { column: 'customer', value: customerId } as const;
  if (carrier) return { column: 'carrier_key', value: carrier } as const;
  return status ? ({ column: 'status', value: status } as const) : undefined;
}

function sorted(candidates: Candidate[], { order, after, wants, limit }: Search): Walked {
  const behind = candidates
    .filter(wants)
    .map((candidate) => ({ candidate, place: order.placeOf(candidate) }))
    .filter(({ place }) => !after || order.compare(place, after) > 0)
    .sort((a, b) => order.compare(a.place, b.place));
  const page = behind.slice(0, limit);
  return {
    found: page.map(({ candidate }) => candidate),
    next: behind.length > limit ? page.at(-1)!.place : undefined,
  };
}

/** The rows of these parcels, by their ids. */
export async function rowsOf(
  tx: Transaction,
  found: readonly Pick<Candidate, 'parcel'>[],
): Promise<Map<string, ParcelColumns>> {
  if (found.length === 0) return new Map();
  const rows = await tx.query<ParcelColumns>({
    text: `SELECT ${parcelColumns} FROM parcels WHERE parcel = ANY ($1::uuid[])`,
    values: [uuidArray(found.map(({ parcel }) => parcel))],
  });
  return new Map(rows.map((row) => [row.parcel, row]));
}
