/** Makes and revokes public links of parcels: caudal.tracking.v1.ParcelLinkService. */
import { ParcelLinkServiceService } from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { type LinkedParcel, makeLink, revokeLinks } from '../store/parcel-links.ts';

export function parcelLinkService({ database, clock }: { database: Database; clock: Clock }) {
  return service(ParcelLinkServiceService, {
    async createParcelLink(request, call) {
      const { token, endsAt } = await makeLink(database, await ownParcel(request, call), clock());
      return { path: `/track/${token}`, endTime: endsAt };
    },
    async revokeParcelLinks(request, call) {
      const { parcel } = await ownParcel(request, call);
      return { revoked: await revokeLinks(database, parcel, clock()) };
    },
  });

  async function ownParcel(
    { carrier, trackingNumber }: { carrier: string; trackingNumber: string },
    call: Call,
  ): Promise<LinkedParcel> {
    const [found] = await database.query<LinkedParcel>({
      name: 'tracking-linked',
      text: 'SELECT parcel::text, shipment, customer FROM parcels WHERE parcel = $1',
      values: [parcelId(carrier, trackingNumber)],
    });
    if (!found) throw notFound('parcel', `${carrier}/${trackingNumber}`);
    call.authorize(found.customer ?? undefined);
    return found;
  }
}
