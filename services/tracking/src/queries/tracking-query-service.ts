/** Reads parcels and their traces: caudal.tracking.v1.TrackingQueryService. A parcel's page is one row, and what was learnt of its lane. */
import { pageLimit } from '@caudal/context/page-limit.ts';
import { Trace, TrackingQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { decodeToken, encodeToken, type Shape } from '@caudal/projections/queries/page-token.ts';
import { service } from '@caudal/rpc/types.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { searchParcels } from '../search/search-parcels.ts';
import { arrivalOf } from './arrival.ts';
import { type ListedParcel, listStatement, tokenBehind } from './list-parcels.ts';
import { type ParcelColumns, parcelColumns, parcelMessage } from './parcel-message.ts';

interface Named {
  carrier: string;
  trackingNumber: string;
}

interface Tools {
  database: Pick<Database, 'query' | 'transaction'>;
  clock: Clock;
}

export function trackingQueryService({ database, clock }: Tools) {
  return service(TrackingQueryServiceService, {
    async getParcel(request, call) {
      const row = await read(request);
      call.authorize(row.customer ?? undefined);
      return parcelMessage(row, { withTraces: true, estimate: await arrivalOf(database, row, clock()) });
    },

    async listTraces(request, call) {
      const limit = pageLimit(request.pageSize);
      const query = parcelId(request.carrier, request.trackingNumber);
      const shape: Shape = { projection: 'traces', query, types: ['timestamp'] };
      const row = await read(request);
      call.authorize(row.customer ?? undefined);
      // After the caller is known to be its owner: to others, a parcel with any token is like none.
      const after = request.pageToken ? decodeToken(request.pageToken, shape) : undefined;
      // Between the parcel's first and last trace: months before and after are not looked at.
      const traces = await database.query<{ id: string; happenedAt: Date; body: Buffer }>({
        name: 'tracking-traces',
        text: `SELECT id::text, happened_at AS "happenedAt", body FROM traces
          WHERE parcel = $1 AND happened_at BETWEEN $2 AND $3 AND ($4::timestamptz IS NULL OR (happened_at, id) < ($4, $5::uuid))
          ORDER BY happened_at DESC, traces.id DESC LIMIT $6`,
        values: [
          row.parcel,
          row.firstAt,
          after?.keys[0] ?? row.lastAt,
          after?.keys[0] ?? null,
          after?.id ?? null,
          limit + 1,
        ],
      });
      const page = traces.slice(0, limit);
      const last = page.at(-1);
      const hasMore = last && traces.length > limit;
      return {
        traces: page.map(({ body }) => Trace.decode(body)),
        nextPageToken: hasMore ? encodeToken({ generation: 1, keys: [last.happenedAt], id: last.id }, shape) : '',
      };
    },

    async listParcels(request) {
      const limit = pageLimit(request.pageSize);
      const rows = await database.query<ListedParcel>(listStatement(request, { now: clock(), limit }));
      const page = rows.slice(0, limit);
      return {
        parcels: page.map((row) => parcelMessage(row, { withTraces: false })),
        nextPageToken: rows.length > limit ? tokenBehind(request, page.at(-1)!) : '',
      };
    },

    searchParcels: (request) => searchParcels(database, request),
  });

  async function read({ carrier, trackingNumber }: Named): Promise<ParcelColumns> {
    const rows = await database.query<ParcelColumns>({
      name: 'tracking-parcel',
      text: `SELECT ${parcelColumns} FROM parcels WHERE parcel = $1`,
      values: [parcelId(carrier, trackingNumber)],
    });
    if (!rows[0]) throw notFound('parcel', `${carrier}/${trackingNumber}`);
    return rows[0];
  }
}
