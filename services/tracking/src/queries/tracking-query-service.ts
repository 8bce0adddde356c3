/** Reads parcels and their traces: caudal.tracking.v1.TrackingQueryService. A parcel's page is one row, and what was learnt of its lane. */
import { pageLimit } from '@caudal/context/page-limit.ts';
import { TrackingQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Archive } from '@caudal/eventlog/archive/archive.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { service } from '@caudal/rpc/types.ts';
import { openTraceReader } from '../archive/read-traces.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { searchParcels } from '../search/search-parcels.ts';
import { arrivalOf } from './arrival.ts';
import { listParcels } from './list-parcels.ts';
import { type ParcelColumns, parcelColumns, parcelMessage } from './parcel-message.ts';

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
  return service(TrackingQueryServiceService, {
    async getParcel(request, call) {
      const { archived, ...row } = await read(request);
      call.authorize(row.customer ?? undefined);
      const estimate = await arrivalOf(database, row, clock());
      return { ...parcelMessage(row, { withTraces: true, estimate }), archived };
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
      return { parcels: rows.map((row) => parcelMessage(row, { withTraces: false })), nextPageToken };
    },

    searchParcels: (request) => searchParcels(database, request),
  });

  /** `archived`: whether months between its first and its last trace are in the archive. */
  async function read({ carrier, trackingNumber }: Named): Promise<ParcelColumns & { archived: boolean }> {
    const rows = await database.query<ParcelColumns & { archived: boolean }>({
      name: 'tracking-parcel',
      text: `SELECT ${parcelColumns}, EXISTS (
          SELECT FROM archived_trace_months a
          WHERE a.restored_at IS NULL
            AND a.month BETWEEN date_trunc('month', first_at AT TIME ZONE 'UTC')::date AND (last_at AT TIME ZONE 'UTC')::date
        ) AS archived FROM parcels p WHERE parcel = $1`,
      values: [parcelId(carrier, trackingNumber)],
    });
    if (!rows[0]) throw notFound('parcel', `${carrier}/${trackingNumber}`);
    return rows[0];
  }
}
