/**
 * The order's saga: the calls of each step of domain/fulfilment.ts, and the meaning of their answers. No call has a
 * request id: see "No idempotency keys in the saga" in the README.
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { order, payment, shipment } from '@caudal/contract/entities.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type PaymentServiceService, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga, StepContext } from '@caudal/sagas/types.ts';
import {
  type FulfilmentEvent,
  type FulfilmentState,
  fulfilmentDecider,
  next,
  onOrder,
  onPayment,
  onShipment,
  type StepName,
} from '../domain/fulfilment.ts';
import { abandon, confirm, deliver, type OrderEvent, type OrderState, orderDecider, ship } from '../domain/order.ts';
import { isRequested } from '../domain/returns.ts';
import { leadReturn } from './lead-return.ts';

export interface FulfilmentDependencies {
  aggregates: Aggregates;
  inventory: Client<InventoryServiceService>;
  payments: Client<PaymentServiceService>;
  shipping: Client<ShippingServiceService>;
  /** How long pieces are held for an order, in milliseconds. */
  reservationMs: number;
  /** How long the saga waits for a payment's outcome, in milliseconds. */
  paymentMs: number;
}

/**
 * Payment and shipments of an order have its id. Those of another service may have an order's id without being that order's: a buyer
 * who learns such an id and places an order under it must not have it paid.
 */
function ofOrder({ id, event }: { id: string; event: { value: { orderId: string } } }): string | undefined {
  const { orderId } = event.value;
  // One that was barred before it was made has no order.
  return orderId === '' || orderId === id ? id : undefined;
}

type Run = (state: FulfilmentState, context: StepContext) => Promise<FulfilmentEvent[]>;

/**
 * A refusal of the domain: a repeat would get the same answer. Throws UNAVAILABLE if a process of version 0.2 refuses a
 * customer's id that only later versions know: it is being replaced, and the order must not fail for that.
 */
function isRefusal(error: unknown): error is CaudalError {
  if (isCode(error, 'INVALID_ARGUMENT') && error.violations.some(({ field }) => field === 'customer_id'))
    throw unavailable('a process of this version', error);
  return isCode(error, 'FAILED_PRECONDITION', 'NOT_FOUND', 'INVALID_ARGUMENT', 'ALREADY_EXISTS', 'OUT_OF_RANGE');
}

/** Reasons that refuse the repeat of a reservation which has ended. */
const hasEnded = new Set(['RESERVATION_ENDED', 'RESERVATION_BARRED']);

/** The order's saga, with these contexts. */
export function fulfilmentSaga(dependencies: FulfilmentDependencies): Saga<FulfilmentState, FulfilmentEvent> {
  const runs = steps(dependencies);
  return {
    name: 'fulfilment',
    parts: 8,
    state: fulfilmentDecider,
    observes: [
      observe(order, { saga: ({ id }) => id, reactions: onOrder }),
      observe(payment, { saga: ofOrder, reactions: onPayment }),
      observe(shipment, { saga: ofOrder, reactions: onShipment }),
    ],
    next,
    run: (step, state, context) => runs[step.name as StepName](state, context),
  };
}

function steps({
  aggregates,
  inventory,
  payments,
  shipping,
  ...limits
}: FulfilmentDependencies): Record<StepName, Run> {
  const idOf = (state: FulfilmentState, number: number) => `${state.order!.orderId}.${number}`;
  const reservationId = (state: FulfilmentState) => idOf(state, state.reservationNumber);
  const lines = (state: FulfilmentState) =>
    state.order!.lines.map(({ productId, quantity }) => ({ productId, quantity }));
  const lost = (state: FulfilmentState): FulfilmentEvent => ({
    $case: 'reservationLost',
    value: { reservationId: reservationId(state) },
  });
  const options = ({ signal, origin }: StepContext) => ({ signal, origin, idempotent: true });

  /** Ends a reservation, whatever is left of it. It may be repeated. */
  const release = (state: FulfilmentState, number: number, reason: string, context: StepContext) =>
    inventory.releaseReservation(
      {
        requestId: '',
        reservationId: idOf(state, number),
        lines: lines(state),
        reason,
        committed: number === state.reservationNumber && state.stock === 'committed',
      },
      options(context),
    );
  /**
   * Ends the reservations before the current one. A process of version 0.2 may have committed some of their lines before the
   * others were lost: those pieces would be missing for good.
   */
  async function releaseLost(state: FulfilmentState, context: StepContext): Promise<void> {
    for (let number = 1; number < state.reservationNumber; number++) await release(state, number, 'LOST', context);
  }

  /** Requests the payment; a repeat changes nothing. Returns the fact of its outcome; none while it is under way. */
  async function requestPayment(state: FulfilmentState, context: StepContext): Promise<FulfilmentEvent[]> {
    const { orderId, customerId, total, paymentMethod } = state.order!;
    const { status, reason } = await payments.createPayment(
      { requestId: '', paymentId: orderId, orderId, customerId, amount: total, method: paymentMethod!.method! },
      options(context),
    );
    if (status === PaymentStatus.PAYMENT_STATUS_SUCCEEDED) return [{ $case: 'paid', value: {} }];
    if (status === PaymentStatus.PAYMENT_STATUS_FAILED) return [{ $case: 'paymentFailed', value: { reason } }];
    return [];
  }

  return {
    async reserve(state, context) {
      await releaseLost(state, context);
      try {
        const reservation = await inventory.reserveStock(
          {
            requestId: '',
            reservationId: reservationId(state),
            lines: lines(state),
            ttl: durationOf(limits.reservationMs),
            attributes: state.order!.attributes,
          },
          options(context),
        );
        return [
          {
            $case: 'reserved',
            value: { reservationId: reservation.reservationId, expireTime: reservation.expireTime },
          },
        ];
      } catch (error) {
        if (!isRefusal(error)) throw error;
        // It existed before a crash that kept it out of the state, so later steps may have run as well.
        if (hasEnded.has(error.reason)) return [lost(state)];
        // FAILED_PRECONDITION: the stock's rules refuse pieces that are not held. An invalid request proves nothing
        // about that.
        const nothingHeld = error.code === 'FAILED_PRECONDITION';
        return [{ $case: 'reservationFailed', value: { reason: error.reason, nothingHeld } }];
      }
    },

    async 'request-payment'(state, context) {
      const { orderId } = state.order!;
      const giveUpTime = new Date(context.now.getTime() + limits.paymentMs);
      try {
        // A payment from a wallet has mostly ended by now, so there is no need to wait for its event.
        const outcome = await requestPayment(state, context);
        return [{ $case: 'paymentRequested', value: { paymentId: orderId, giveUpTime } }, ...outcome];
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return [{ $case: 'paymentFailed', value: { reason: error.reason } }];
      }
    },

    async 'give-up-payment'(state, context) {
      const timedOut: FulfilmentEvent = { $case: 'paymentTimedOut', value: {} };
      try {
        // It may have ended long ago: its event waits if the saga was away, or could not read the payments' log.
        const outcome = await requestPayment(state, context);
        return outcome.length > 0 ? outcome : [timedOut];
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return [timedOut];
      }
    },

    async commit(state, context) {
      // A process of 0.2 may have made the reservation, and left those before it as they were.
      await releaseLost(state, context);
      try {
        await inventory.commitReservation(
          {
            requestId: '',
            reservationId: reservationId(state),
            lines: lines(state),
          },
          options(context),
        );
        return [{ $case: 'committed', value: {} }];
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return [lost(state)];
      }
    },

    async confirm(state, context) {
      const after = await tell(context, (order) => confirm(order, reservationId(state)));
      if (after.status === 'confirmed' || after.status === 'shipped' || after.status === 'delivered') {
        return [{ $case: 'confirmed', value: {} }];
      }
      // The order is ahead of the saga: the buyer has requested to cancel (the event is in flight), or everything was
      // undone before a crash.
      return [{ $case: 'cancelRequested', value: { reason: after.reason } }];
    },

    async 'create-shipment'(state, context) {
      const { orderId, customerId, country } = state.order!;
      try {
        await shipping.createShipment(
          {
            requestId: '',
            shipmentId: orderId,
            orderId,
            customerId,
            country,
            lines: lines(state),
          },
          options(context),
        );
        return [{ $case: 'shipmentCreated', value: { shipmentId: orderId } }];
      } catch (error) {
        if (!isRefusal(error)) throw error;
        // An undo before a crash has barred it.
        return [{ $case: 'cancelRequested', value: { reason: error.reason } }];
      }
    },

    async 'mark-shipped'(state, context) {
      await tell(context, (order) => ship(order, reservationId(state)));
      return [{ $case: 'orderMarked', value: { status: 'shipped' } }];
    },

    async 'mark-delivered'(_state, context) {
      await tell(context, deliver);
      return [{ $case: 'orderMarked', value: { status: 'delivered' } }];
    },

    async return(state, context) {
      const returnId = state.returns[0]!;
      const { state: order } = await aggregates.load(orderDecider, context.sagaId);
      const outcome = await leadReturn(
        { inventory, payments, shipping },
        order,
        reservationId(state),
        returnId,
        context,
      );
      if (outcome) await tell(context, (now) => (isRequested(now, returnId) ? [outcome] : []));
      return [{ $case: 'returnLed', value: { returnId } }];
    },

    async 'cancel-shipment'(state, context) {
      const { orderId } = state.order!;
      const cancelled: FulfilmentEvent = { $case: 'shipmentCancelled', value: {} };
      try {
        await shipping.cancelShipment({ requestId: '', shipmentId: orderId, orderId }, options(context));
        return [cancelled];
      } catch (error) {
        // Another service's shipment has this id: the order has none.
        if (isCode(error, 'NOT_FOUND')) return [cancelled];
        if (!isRefusal(error)) throw error;
        return [{ $case: 'cancelRefused', value: {} }];
      }
    },

    async 'undo-payment'(state, context) {
      const { orderId } = state.order!;
      const requested: FulfilmentEvent = { $case: 'paymentUndoRequested', value: {} };
      const request = { requestId: '', paymentId: orderId, orderId, reason: state.undo!.reason };
      const answer = await payments.undoPayment(request, options(context)).catch((error: unknown) => {
        // Another service's payment has this id: the order has none.
        if (isCode(error, 'NOT_FOUND')) return { status: PaymentStatus.PAYMENT_STATUS_VOIDED };
        throw error;
      });
      const { status } = answer;
      const undone =
        status === PaymentStatus.PAYMENT_STATUS_VOIDED ||
        status === PaymentStatus.PAYMENT_STATUS_REFUNDED ||
        status === PaymentStatus.PAYMENT_STATUS_FAILED;
      return undone ? [requested, { $case: 'paymentUndone', value: {} }] : [requested];
    },

    async 'undo-stock'(state, context) {
      await releaseLost(state, context);
      await release(state, state.reservationNumber, state.undo!.reason, context);
      return [{ $case: 'stockUndone', value: {} }];
    },

    'mark-rejected': (state, context) => markAbandoned(state, context, 'rejected'),
    'mark-cancelled': (state, context) => markAbandoned(state, context, 'cancelled'),
  };

  async function markAbandoned(
    state: FulfilmentState,
    context: StepContext,
    status: string,
  ): Promise<FulfilmentEvent[]> {
    await tell(context, (order) => abandon(order, state.undo!.reason));
    return [{ $case: 'orderMarked', value: { status } }];
  }

  /** Changes the order itself. A repeat changes nothing, by the order's own rules. */
  async function tell(context: StepContext, decide: (state: OrderState) => OrderEvent[]): Promise<OrderState> {
    let after!: OrderState;
    await aggregates.execute({
      decider: orderDecider,
      id: context.sagaId,
      decide,
      reply: ({ state }) => {
        after = state;
      },
      replyCodec: noReply,
      origin: context.origin,
      signal: context.signal,
    });
    return after;
  }
}

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1_000_000) };
}
