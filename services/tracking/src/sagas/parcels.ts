/**
 * The saga of a parcel: attaches it to the shipment that has its number, and tells shipping when it is delivered or returned. Its state
 * is the parcel's own stream. Before it does either it asks shipping whether the shipment still has that number: a correction leads to
 * another parcel, and this one learns of it here. So it does when another shipment comes with the number: swapped labels are corrected
 * one after the other, and carriers use numbers again.
 */
import { type EventOf, parcel, shipment } from '@caudal/contract/entities.ts';
import type {
  Shipment,
  ShippingQueryServiceService,
  ShippingServiceService,
} from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { ParcelAttached } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { derivedIdAt } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, type ObservedEvent, observe } from '@caudal/sagas/observe.ts';
import type { Saga, StepContext } from '@caudal/sagas/types.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { attach, type ParcelEvent, type ParcelStream, parcelDecider, toTell } from '../domain/parcel-stream.ts';
import { linkParcel, unlinkParcel } from '../store/link-parcel.ts';

export interface ParcelsDependencies {
  database: Database;
  shipping: Client<ShippingServiceService>;
  shipments: Client<ShippingQueryServiceService>;
  /** Carriers that are asked for the parcels of shipments, by their keys. */
  asked: ReadonlySet<string>;
}

type Numbered = CaseOf<EventOf<typeof shipment>, 'dispatched' | 'trackingCorrected'>;

export function parcelSaga(dependencies: ParcelsDependencies): Saga<ParcelStream, ParcelEvent> {
  const { database, shipping, shipments, asked } = dependencies;
  return {
    name: 'parcels',
    parts: 8,
    from: 'start',
    state: parcelDecider,
    observes: [
      observe(shipment, {
        // A shipment may leave without a number.
        saga: ({ event }: ObservedEvent<Numbered>) =>
          event.value.trackingNumber ? parcelId(event.value.carrier, event.value.trackingNumber) : undefined,
        reactions: { dispatched: attachTo, trackingCorrected: attachTo },
      }),
      // Its own stream: the state has the change already.
      observe(parcel, { saga: ({ id }) => id, reactions: { statusChanged: () => [] } }),
    ],

    next(state) {
      if (state.shipment && !state.isLinked) return { name: 'link' };
      if (state.isContested) return { name: 'settle' };
      return toTell(state) === undefined ? undefined : { name: 'inform' };
    },

    async run(step, state, context) {
      const { shipmentId } = state.shipment!;
      const ours = await oursOf(state.shipment!, context);
      if (!ours) {
        await unlinkParcel(database, context.sagaId, shipmentId);
        return [{ $case: 'detached', value: { shipmentId } }];
      }
      if (step.name === 'inform') return inform(state, context);
      // It keeps its number; the other one may have it later.
      if (step.name === 'settle') return [{ $case: 'shipmentLinked', value: { shipmentId } }];
      const destination = /^[A-Z]{2}$/.test(ours.country) ? ours.country : undefined;
      const of = { shipment: state.shipment!, destination, asked, now: context.now };
      await linkParcel(database, context.sagaId, of);
      return [{ $case: 'shipmentLinked', value: { shipmentId } }];
    },
  };

  /** The shipment, if it has the parcel's number now. */
  async function oursOf(
    { shipmentId }: ParcelAttached,
    { sagaId, origin, signal }: StepContext,
  ): Promise<Shipment | undefined> {
    try {
      const now = await shipments.getShipment({ shipmentId, readMask: undefined }, { origin, signal });
      return parcelId(now.carrier, now.trackingNumber) === sagaId ? now : undefined;
    } catch (error) {
      if (isCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async function inform(state: ParcelStream, { sagaId, origin, signal }: StepContext): Promise<ParcelEvent[]> {
    const { shipmentId } = state.shipment!;
    const status = toTell(state)!;
    const requestId = derivedIdAt(state.changedAt.getTime(), 'tracking', sagaId, shipmentId, status);
    const about = { requestId, shipmentId, etag: '' };
    let reason = '';
    try {
      if (status === ParcelStatus.PARCEL_STATUS_DELIVERED) await shipping.deliverShipment(about, { origin, signal });
      else await shipping.markShipmentReturned({ ...about, reason: 'Returned, says the carrier.' }, { origin, signal });
    } catch (error) {
      // Shipping has another opinion, such as staff's: it keeps it.
      if (!isCode(error, 'FAILED_PRECONDITION', 'NOT_FOUND', 'INVALID_ARGUMENT')) throw error;
      reason = error.reason;
    }
    return [{ $case: 'shipmentInformed', value: { shipmentId, status, reason } }];
  }
}

function attachTo(state: ParcelStream, event: Numbered, observed: ObservedEvent): ParcelEvent[] {
  const { carrier, trackingNumber, orderId, customerId } = event.value;
  // Events of version 0.2 name no shipment: there was only the first, which has the stream's id.
  const shipmentId = event.value.shipmentId || observed.id;
  return attach(state, {
    ...{ carrier, trackingNumber, orderId, customerId, shipmentId },
    shipmentVersion: observed.version,
  });
}
