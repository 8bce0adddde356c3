/** Reads parcels and their traces: caudal.tracking.v1.TrackingQueryService. A parcel's page is one row, and what was learnt of its lane. */
import { pageLimit } from '@caudal/context/page-limit.ts';
import { TrackingQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Archive } from '@caudal/eventlog/archive/archive.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { gatherReads } from '@caudal/kernel/gathered-reads.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { service } from '@caudal/rpc/types.ts';
import { openTraceReader } from '../archive/read-traces.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { searchParcels } from '../search/search-parcels.ts';
import { arrivalOf } from './arrival.ts';
import { listParcels } from './list-parcels.ts';
import { listedParcel, type ParcelColumns, parcelColumns, parcelPage, stateOf } from './parcel-message.ts';
import { type Page, rememberLearnt, rememberPages } from './remembered.ts';

interface Named {
  carrier: string;
  trackingNumber: string;
}

interface Options {
  database: Pick<Database, 'query' | 'transaction'>;
  clock: Clock;
  /** Where old traces are; undefined if there is no archive. */
  archive: Archive | undefined;
}

export function trackingQueryService({ database, clock, archive }: Options) {
  const readTraces = openTraceReader(database, archive);
  const readParcel = parcelReader(database);
  const remembered = rememberPages();
  const readLearnt = rememberLearnt(database);
  return service(TrackingQueryServiceService, {
    async getParcel(request, call) {
      const isStrong = call.readStrength === 'STRONG' || call.readStrength === 'QUORUM';
      const key = parcelId(request.carrier, request.trackingNumber);
      const { value, ageMs } = isStrong
        ? { value: await page(request), ageMs: 0 }
        : await remembered(key, () => page(request));
      call.authorize(value.customer);
      if (ageMs > 0) call.remembered(ageMs);
      return value.parcel;
    },

    async listTraces(request, call) {
      const limit = pageLimit(request.pageSize);
      const query = parcelId(request.carrier, request.trackingNumber);
      const shape: Shape = { projection: 'traces', query, types: ['timestamp'] };
      const row = await read(request);
      call.authorize(row.customer ?? undefined);
      // After the caller is known to be its owner: to others, a parcel with any token is like none.
      const after = request.pageToken ? decodeToken(request.pageToken, shape) : undefined;
      const before = after && { at: after.keys[0] as Date, id: after.id };
      const { traces, next, archived } = await readTraces({ ...row, before, limit });
      const nextPageToken = next ? encodeToken({ generation: 1, keys: [next.at], id: next.id }, shape) : '';
      return { traces, nextPageToken, archived };
    },

    async listParcels(request) {
      const { rows, nextPageToken } = await listParcels(database, request, clock());
      return { parcels: rows.map(listedParcel), nextPageToken };
    },

    searchParcels: (request) => searchParcels(database, request),
  });

  async function page(named: Named): Promise<Page> {
    const { archived, ...row } = await read(named);
    const state = stateOf(row);
    const estimate = await arrivalOf(row, state, { now: clock(), readLearnt });
    return { customer: row.customer ?? undefined, parcel: { ...parcelPage(row, state, estimate), archived } };
  }

  async function read({ carrier, trackingNumber }: Named): Promise<ReadParcel> {
    const row = await readParcel(parcelId(carrier, trackingNumber));
    if (!row) throw notFound('parcel', `${carrier}/${trackingNumber}`);
    return row;
  }
}

/** `archived`: whether months between its first and its last trace are in the archive. */
type ReadParcel = ParcelColumns & { archived: boolean };

/** Reads parcels by their ids. Callers at the same time share statements. */
const parcelReader = (database: Pick<Transaction, 'query'>) =>
  gatherReads<ReadParcel>({
    async readMany(parcels) {
      const rows = await database.query<ReadParcel>({
        name: 'tracking-pages',
        text: `SELECT ${parcelColumns}, EXISTS (
            SELECT FROM archived_trace_months a
            WHERE a.restored_at IS NULL
              AND a.month BETWEEN date_trunc('month', first_at AT TIME ZONE 'UTC')::date AND (last_at AT TIME ZONE 'UTC')::date
          ) AS archived FROM parcels p WHERE parcel = ANY ($1::uuid[])`,
        values: [parcels],
      });
      return new Map(rows.map((row) => [row.parcel, row]));
    },
  });
