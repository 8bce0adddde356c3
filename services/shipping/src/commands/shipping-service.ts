/** Changes shipments: caudal.shipping.v1.ShippingService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { checkEtag } from '@caudal/context/etag.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Shipment, ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import {
  cancelShipments,
  correctTracking,
  createShipment,
  deliverShipment,
  dispatchShipment,
  markLost,
  markReturned,
  recordFailedDelivery,
  type ShipmentEvent,
  type ShipmentState,
  settledPieces,
  shipmentDecider,
  shipmentOf,
  withdrawShipment,
} from '../domain/shipment.ts';
import { streamIdOf } from '../domain/shipment-ids.ts';
import { dispatchPart, splitShipment } from '../domain/split.ts';
import { shipmentMessage } from '../shipment-message.ts';

/** A request about a shipment; some name the version that their caller has read. */
interface About {
  shipmentId: string;
  etag?: string;
}

/** Whether the shipments are the order's, or none are created: another service may have made one under an order's id. */
function mayBeOf(orderId: string, { created }: ShipmentState): boolean {
  return created === undefined || created.orderId === orderId;
}

export function shippingService({ aggregates }: { aggregates: Aggregates }) {
  return service(ShippingServiceService, {
    createShipment: ({ shipmentId, orderId, customerId, country, lines }, call) =>
      change({ shipmentId }, call, (state) =>
        createShipment(state, { shipmentId, orderId, customerId, country, lines }),
      ),
    cancelShipment: ({ shipmentId, orderId }, call) =>
      change({ shipmentId }, call, (state) => {
        if (orderId !== undefined && !mayBeOf(orderId, state)) throw notFound('shipment', shipmentId);
        return cancelShipments(state, shipmentId);
      }),
    async getSettledPieces({ orderId }) {
      const { state } = await aggregates.load(shipmentDecider, orderId);
      if (!mayBeOf(orderId, state)) return { lines: [] };
      return { lines: [...settledPieces(state)].map(([productId, quantity]) => ({ productId, quantity })) };
    },
    dispatchShipment: (request, call) => change(request, call, (state) => dispatchShipment(state, request)),
    dispatchShipmentPart: (request, call) => change(request, call, (state) => dispatchPart(state, request)),
    splitShipment: (request, call) =>
      change(request, call, (state) => splitShipment(state, request), request.newShipmentId),
    withdrawShipment: (request, call) => change(request, call, (state) => withdrawShipment(state, request)),
    correctTracking: (request, call) => change(request, call, (state) => correctTracking(state, request)),
    recordFailedDelivery: (request, call) => change(request, call, (state) => recordFailedDelivery(state, request)),
    markShipmentLost: (request, call) => change(request, call, (state) => markLost(state, request)),
    markShipmentReturned: (request, call) => change(request, call, (state) => markReturned(state, request)),
    deliverShipment: (request, call) => change(request, call, (state) => deliverShipment(state, request.shipmentId)),
  });

  /** Runs the decision on the shipments of the order; answers with this one, or with the one named by `answered`. */
  function change(
    { shipmentId, etag = '' }: About,
    call: Call,
    decide: (state: ShipmentState) => ShipmentEvent[],
    answered = shipmentId,
  ): Promise<Shipment> {
    return executeFor(call, aggregates, {
      decider: shipmentDecider,
      id: streamIdOf(shipmentId),
      decide(state) {
        const check = () => etag !== '' && checkEtag(etag, shipmentOf(state, shipmentId).version);
        try {
          const events = decide(state);
          // A repeat changes nothing, and was preceded by the command itself: its etag is the one before.
          if (events.length > 0) check();
          return events;
        } catch (error) {
          // A caller that has read another version learns that, and not what it would be refused for.
          check();
          throw error;
        }
      },
      reply: ({ state }) => shipmentMessage(answered, state),
      replyCodec: Shipment,
    });
  }
}
