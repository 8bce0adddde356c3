/**
 * Leads a return of an order to its end: asks whether its pieces have left, puts them into the stock, and refunds them. The last two calls have ids that follow from the
 * return, so a repeat does nothing twice. See docs/returns.md.
 */
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { PaymentServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { repeatableMs } from '@caudal/contract/remembered.ts';
import { CaudalError, isCode, unavailable } from '@caudal/kernel/errors.ts';
import { derivedIdAt } from '@caudal/kernel/ids.ts';
import type { Client } from '@caudal/rpc/types.ts';
import type { StepContext } from '@caudal/sagas/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { OrderEvent, OrderState } from '../domain/order.ts';
import {
  done,
  isRequested,
  outOf,
  piecesOf,
  type ReturnState,
  refundOf,
  returned,
  returnRefused,
  returnUnknown,
} from '../domain/returns.ts';

export interface ReturnDependencies {
  inventory: Pick<Client<InventoryServiceService>, 'putBack'>;
  payments: Pick<Client<PaymentServiceService>, 'createRefund'>;
  shipping: Pick<Client<ShippingServiceService>, 'getSettledPieces'>;
}

const log = logger('orders');
const givenUp = counter(
  'orders_returns_given_up_total',
  'Returns that had no outcome after 29 days, and need attention: a person must find out whether the pieces are back.',
);

/** Refusals of the stock: none of the pieces are put back. */
const notBack = new Set(['RETURN_TOO_LARGE', 'RESERVATION_NOT_COMMITTED', 'STOCK_NOT_FOUND', 'TOO_MANY_PIECES']);

/**
 * Returns the order's event of the outcome; undefined if it is known already. Throws transient errors. `order`: the order now. Its returns are led one after the other, so that a repeat sends the same requests.
 */
export async function leadReturn(
  dependencies: ReturnDependencies,
  order: OrderState,
  reservationId: string,
  returnId: string,
  context: StepContext,
): Promise<OrderEvent | undefined> {
  const one = order.returns.find((known) => known.returnId === returnId);
  if (!one || !isRequested(order, returnId)) return undefined;
  if (!one.inStock && context.now.getTime() > one.triedSince.getTime() + repeatableMs) {
    log.error(
      { orderId: order.placed!.orderId, returnId },
      'a return needs attention, since it is not known what was done of it: settle it',
    );
    givenUp.add(1);
    return returnUnknown(one);
  }
  if (one.inStock) return refund(dependencies, order, one, context);
  const refusal =
    (await notLeft(dependencies, order, one, context)) ||
    (await putBack(dependencies, order, reservationId, one, context));
  return refusal ? returnRefused(one, refusal) : refund(dependencies, order, one, context);
}

/**
 * Returns NOT_LEFT if some of the pieces may still be sent; empty: none. What has left only grows, so a repeat never refuses pieces that are
 * back in the stock already.
 */
async function notLeft(
  { shipping }: ReturnDependencies,
  { placed, returns }: OrderState,
  one: ReturnState,
  { origin, signal }: StepContext,
): Promise<string> {
  const request = { orderId: placed!.orderId };
  const { lines } = await shipping.getSettledPieces(request, { origin, signal }).catch((error) => {
    throw untilUpgraded(error, 'shipping');
  });
  const settled = new Map(lines.map(({ productId, quantity }) => [productId, quantity]));
  const back = piecesOf([...done(returns), one]);
  return one.lines.some(({ productId }) => back.get(productId)! > (settled.get(productId) ?? 0n)) ? 'NOT_LEFT' : '';
}

/** Puts the pieces into the stock. Returns why they are refused; empty: they are back. */
async function putBack(
  { inventory }: ReturnDependencies,
  order: OrderState,
  reservationId: string,
  one: ReturnState,
  { origin, signal }: StepContext,
): Promise<string> {
  const products = new Set(one.lines.map(({ productId }) => productId));
  const request = {
    requestId: derivedIdAt(one.triedSince.getTime(), reservationId, 'return', one.returnId),
    reservationId,
    lines: one.lines,
    out: outOf(order).filter(({ productId }) => products.has(productId)),
  };
  try {
    await inventory.putBack(request, { origin, signal });
    return '';
  } catch (error) {
    if (error instanceof CaudalError && notBack.has(error.reason)) return error.reason;
    throw untilUpgraded(error, 'inventory');
  }
}

/** Refunds what was requested, or what is left of the payment. */
async function refund(
  { payments }: ReturnDependencies,
  order: OrderState,
  one: ReturnState,
  { origin, signal }: StepContext,
): Promise<OrderEvent> {
  if (one.refund === 0n) return returned(order, one, { refund: 0n });
  const { orderId, total } = order.placed!;
  const refundId = refundOf(one.returnId);
  const amount = { minorUnits: one.refund, currency: total!.currency };
  try {
    const { refunds } = await payments.createRefund(
      { requestId: '', paymentId: orderId, refundId, amount, reason: one.reason },
      { origin, signal, idempotent: true },
    );
    const made = refunds.find((known) => known.refundId === refundId)!.amount!.minorUnits;
    return returned(order, one, { refund: made, refundRefusal: made < one.refund ? 'REFUND_TOO_LARGE' : '' });
  } catch (error) {
    if (isCode(error, 'FAILED_PRECONDITION', 'NOT_FOUND'))
      return returned(order, one, { refund: 0n, refundRefusal: error.reason });
    throw untilUpgraded(error, 'payments');
  }
}

/** A process of the version before lacks the method: the step waits for one of today. */
function untilUpgraded(error: unknown, context: string): unknown {
  return error instanceof CaudalError && error.code === 'UNIMPLEMENTED' ? unavailable(context, error) : error;
}
