/** The statement of a list of parcels. Each list follows one index, and a page begins where the one before ended. */
import type { ListParcelsRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Statement } from '@caudal/postgres/database.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { carrierKey } from '../domain/parcel-id.ts';
import { type ParcelColumns, parcelColumns } from './parcel-message.ts';

const dayMs = 86_400_000;

interface Order {
  column: 'eta' | 'last_day' | 'created_at';
  /** The newest first; else the oldest. */
  descending: boolean;
}

/** Late ones by their expected time, silent ones by their last day, others by when they became known. */
function orderOf({ late, silentDays }: ListParcelsRequest): Order {
  if (late) return { column: 'eta', descending: false };
  if (silentDays > 0) return { column: 'last_day', descending: false };
  return { column: 'created_at', descending: true };
}

function shapeOf(request: ListParcelsRequest): Shape {
  const { customerId, shipmentId, status, carrier, late, silentDays } = request;
  const query = [customerId, shipmentId, status, carrierKey(carrier), late, silentDays];
  return { projection: 'parcels', query, types: ['timestamp'] };
}

export interface ListedParcel extends ParcelColumns {
  /** What the list is ordered by. */
  place: Date;
}

/** `limit`: of the page; one more is read, to know whether there is another page. Throws INVALID_ARGUMENT for a wrong token. */
export function listStatement(request: ListParcelsRequest, { now, limit }: { now: Date; limit: number }): Statement {
  const { column, descending } = orderOf(request);
  const values: unknown[] = [];
  const where: string[] = [];
  const add = (condition: string, ...parameters: unknown[]) => {
    let text = condition;
    for (const parameter of parameters) text = text.replace('?', `$${values.push(parameter)}`);
    where.push(text);
  };
  if (request.customerId) add('customer = ?', request.customerId);
  if (request.shipmentId) add('shipment = ?', request.shipmentId);
  if (request.status) add('status = ?', request.status);
  if (request.carrier) add('carrier_key = ?', carrierKey(request.carrier));
  if (request.late) add('NOT done AND eta IS NOT NULL AND eta < ?', now);
  if (request.silentDays > 0) {
    const since = new Date(now.getTime() - request.silentDays * dayMs);
    // The day is what the index has.
    add('NOT done AND last_day IS NOT NULL AND last_day <= ?::date', since.toISOString().slice(0, 10));
    add('last_at <= ?::timestamptz', since);
  }
  if (request.pageToken) {
    const { keys, id } = decodeToken(request.pageToken, shapeOf(request));
    const place = column === 'last_day' ? "?::timestamptz AT TIME ZONE 'UTC'" : '?::timestamptz';
    add(
      `(${column}, parcel) ${descending ? '<' : '>'} (${column === 'last_day' ? `(${place})::date` : place}, ?::uuid)`,
      keys[0],
      id,
    );
  }
  const direction = descending ? 'DESC' : 'ASC';
  const place = column === 'last_day' ? `last_day::timestamp AT TIME ZONE 'UTC'` : column;
  return {
    text: `SELECT ${parcelColumns}, ${place} AS place FROM parcels WHERE ${where.length > 0 ? where.join(' AND ') : 'true'}
      ORDER BY ${column} ${direction}, parcels.parcel ${direction} LIMIT ${limit + 1}`,
    values,
  };
}

/** The token of the page behind this row. */
export function tokenBehind(request: ListParcelsRequest, { place, parcel }: ListedParcel): string {
  return encodeToken({ generation: 1, keys: [place], id: parcel }, shapeOf(request));
}
