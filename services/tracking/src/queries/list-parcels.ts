/**
 * A page of a list of parcels. A list follows one index, and a page begins where the one before ended. What the index does not have is
 * judged on the way, so a page ends when it is full, or when so many parcels were looked at: docs/tracking.md.
 */
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ListParcelsRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Database, Statement } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { carrierKey } from '../domain/parcel-id.ts';
import { statementMs, tooCostly } from '../search/budget.ts';
import { outOfTime, rowsOf } from '../search/search-parcels.ts';
import type { ParcelColumns } from './parcel-message.ts';

const dayMs = 86_400_000;
/** Parcels that a page looks at, if few of them are wanted: a first read has a few pages, and the next ones more. */
const mostLooked = 10_000;
const firstRead = 4;
const growth = 4;

interface Place {
  at: Date;
  parcel: string;
}

interface Looked extends Place {
  wanted: boolean;
}

function shapeOf(request: ListParcelsRequest): Shape {
  const { customerId, shipmentId, status, carrier, late, silentDays } = request;
  const query = [customerId, shipmentId, status, carrierKey(carrier), late, silentDays];
  return { projection: 'parcels', query, types: ['timestamp'] };
}

/** Errors: INVALID_ARGUMENT for a wrong token; QUERY_TOO_COSTLY. */
export async function listParcels(
  database: Pick<Database, 'transaction'>,
  request: ListParcelsRequest,
  now: Date,
): Promise<{ rows: ParcelColumns[]; nextPageToken: string }> {
  const limit = pageLimit(request.pageSize);
  const shape = shapeOf(request);
  const token = request.pageToken ? decodeToken(request.pageToken, shape) : undefined;
  const after = token && { at: token.keys[0] as Date, parcel: token.id };
  try {
    return await database.transaction(async (tx) => {
      await tx.query({ text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY' });
      await tx.query({ text: `SET LOCAL statement_timeout = ${statementMs}` });
      const read = (place: Place | undefined, most: number) =>
        tx.query<Looked>(lookStatement(request, { now, after: place, limit: most }));
      const { found, next } = await walk(read, { limit, after });
      const rows = await rowsOf(tx, found);
      return {
        rows: found.map(({ parcel }) => rows.get(parcel)!),
        nextPageToken: next ? encodeToken({ generation: 1, keys: [next.at], id: next.parcel }, shape) : '',
      };
    });
  } catch (error) {
    throw sqlState(error) === outOfTime ? tooCostly('takes too long: narrow its conditions', error) : error;
  }
}

async function walk(
  read: (after: Place | undefined, limit: number) => Promise<Looked[]>,
  { limit, after }: { limit: number; after: Place | undefined },
): Promise<{ found: Looked[]; next: Place | undefined }> {
  const found: Looked[] = [];
  let place = after;
  let left = mostLooked;
  for (let asked = firstRead * limit; ; asked *= growth) {
    const most = Math.min(asked, left);
    const looked = await read(place, most);
    found.push(...looked.filter(({ wanted }) => wanted));
    if (found.length > limit) return { found: found.slice(0, limit), next: found[limit - 1] };
    if (looked.length < most) return { found, next: undefined };
    left -= most;
    place = looked.at(-1);
    if (left === 0) return { found, next: place };
  }
}

interface Options {
  now: Date;
  after: Place | undefined;
  limit: number;
}

const firstPlace = { at: '-infinity', parcel: '00000000-0000-0000-0000-000000000000' };
const lastPlace = { at: 'infinity', parcel: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };

/**
 * The next parcels along the list's index, and which of them are wanted. Late ones are in the order of their expected time, silent ones of
 * their last day, others the newest first. What the index does not have is no condition of the statement, which reads its limit and no more.
 */
export function lookStatement(request: ListParcelsRequest, { now, after, limit }: Options): Statement {
  const { customerId, shipmentId, status, late, silentDays } = request;
  const since = new Date(now.getTime() - silentDays * dayMs);
  const values: unknown[] = [];
  const value = (of: unknown, type: string) => `$${values.push(of)}::${type}`;
  const where: string[] = [];
  const judged: string[] = [];
  /** The narrowest first. */
  const equal: [column: string, value: string][] = [];
  if (shipmentId) equal.push(['shipment', value(shipmentId, 'text')]);
  if (customerId) equal.push(['customer', value(customerId, 'text')]);
  if (request.carrier) equal.push(['carrier_key', value(carrierKey(request.carrier), 'text')]);
  if (status) equal.push(['status', value(status, 'smallint')]);
  if (late) where.push(`NOT done AND eta IS NOT NULL AND eta < ${value(now, 'timestamptz')}`);
  if (silentDays > 0) {
    // The day is what the index has.
    const day = `NOT done AND last_day IS NOT NULL AND last_day <= ${value(since.toISOString().slice(0, 10), 'date')}`;
    (late ? judged : where).push(day);
    judged.push(`last_at <= ${value(since, 'timestamptz')}`);
  }
  const column = late ? 'eta' : silentDays > 0 ? 'last_day' : 'created_at';
  const descending = column === 'created_at';
  const begin = after ?? (descending ? lastPlace : firstPlace);
  const at = value(begin.at, 'timestamptz');
  const place = [column === 'last_day' ? `(${at} AT TIME ZONE 'UTC')::date` : at, value(begin.parcel, 'uuid')];
  const keys = [column, 'parcel'];
  // Of a shipment, or a customer who is late or silent, there are few: they are read by that, and sorted.
  const few = shipmentId ? 1 : customerId && !descending ? 1 : 0;
  where.push(...equal.slice(0, few).map(([name, is]) => `${name} = ${is}`));
  const [listed, ...others] = equal.slice(few);
  if (listed && descending && few === 0) {
    // A bound of the order, so that no other index will do.
    where.push(`${listed[0]} >= ${listed[1]}`);
    keys.unshift(listed[0]);
    place.unshift(listed[1]);
  } else if (listed) others.push(listed);
  judged.push(...others.map(([name, is]) => `${name} = ${is}`));
  where.push(`(${keys.join(', ')}) ${descending ? '<' : '>'} (${place.join(', ')})`);
  return {
    text: `SELECT parcel::text, ${column === 'last_day' ? `last_day::timestamp AT TIME ZONE 'UTC'` : column} AS at,
        ${judged.length > 0 ? `coalesce(${judged.join(' AND ')}, false)` : 'true'} AS wanted
      FROM parcels WHERE ${where.join(' AND ')}
      ORDER BY ${keys.map((key) => `parcels.${key} ${descending ? 'DESC' : 'ASC'}`).join(', ')} LIMIT ${limit}`,
    values,
  };
}
