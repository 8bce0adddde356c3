/**
 * The saga of an order's returns: it puts the pieces of each into the stock, and refunds them. Its state is the order itself, so
 * that only the order counts what is returned. Both calls have ids that follow from the return: a repeat does nothing twice.
 */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { order, payment } from '@caudal/contract/entities.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { PaymentServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { CaudalError, isCode, unavailable } from '@caudal/kernel/errors.ts';
import { derivedIdAt } from '@caudal/kernel/ids.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga, StepContext } from '@caudal/sagas/types.ts';
import { fulfilmentDecider } from '../domain/fulfilment.ts';
import { type OrderEvent, type OrderState, orderDecider } from '../domain/order.ts';
import { firstRequested, outOf, type ReturnState, refundPaid, returned, returnRefused } from '../domain/returns.ts';

export interface ReturnsDependencies {
  aggregates: Aggregates;
  inventory: Pick<Client<InventoryServiceService>, 'putBack'>;
  payments: Pick<Client<PaymentServiceService>, 'createRefund'>;
}

/** How long a return is tried: a day less than the stock remembers the request. */
const triedMs = 29 * 86_400_000;

/** The id of a return's refund. Those of other refunds are UUIDs. */
const refundOf = (returnId: string) => `return.${returnId}`;

/** The saga of returns, with these contexts. */
export function returnsSaga(dependencies: ReturnsDependencies): Saga<OrderState, OrderEvent> {
  return {
    name: 'returns',
    parts: 4,
    state: orderDecider,
    observes: [
      observe(order, {
        saga: ({ id }) => id,
        // The event is in the order's own state already.
        reactions: { returnRequested: (): OrderEvent[] => [] },
      }),
      observe(payment, {
        saga: ({ id, event }) => (event.value.refundId.startsWith(refundOf('')) ? id : undefined),
        reactions: {
          refundCompleted: (state, { value: { refundId, amount } }) =>
            refundPaid(state, refundId.slice(refundOf('').length), amount!.minorUnits),
        },
      }),
    ],
    next: (state) => (firstRequested(state) ? { name: 'return' } : undefined),
    async run(_step, state, context) {
      const one = firstRequested(state)!;
      const refusal = await putBack(dependencies, state, one, context);
      return refusal ? [returnRefused(one, refusal)] : refund(dependencies, state, one, context);
    },
  };
}

/** Puts the pieces into the stock. Returns why they are refused; empty: they are back. Throws transient errors. */
async function putBack(
  { aggregates, inventory }: ReturnsDependencies,
  state: OrderState,
  one: ReturnState,
  { now, origin, signal }: StepContext,
): Promise<string> {
  const { orderId } = state.placed!;
  // Its undoing puts back and refunds everything.
  if (state.status === 'cancelled' || state.status === 'rejected') return 'ORDER_NOT_RETURNABLE';
  const { state: fulfilment } = await aggregates.load(fulfilmentDecider, orderId);
  if (fulfilment.stock === 'undone') return 'ORDER_NOT_RETURNABLE';
  // Until the commit is recorded, a crash makes that saga repeat its earlier steps, which a return in between would refuse.
  if (fulfilment.stock !== 'committed') throw unavailable("the record of the order's commit");
  if (now.getTime() > one.createTime.getTime() + triedMs) return 'RETURN_TOO_OLD';
  const products = new Set(one.lines.map(({ productId }) => productId));
  try {
    await inventory.putBack(
      {
        requestId: derivedIdAt(one.createTime.getTime(), orderId, 'return', one.returnId),
        reservationId: `${orderId}.${fulfilment.reservationNumber}`,
        lines: one.lines,
        out: outOf(state).filter(({ productId }) => products.has(productId)),
      },
      { origin, signal },
    );
    return '';
  } catch (error) {
    if (isCode(error, 'FAILED_PRECONDITION', 'NOT_FOUND')) return error.reason;
    throw notYet(error, 'inventory');
  }
}

/** Refunds the price of the pieces, or what is left of the payment. Throws transient errors. */
async function refund(
  { payments }: ReturnsDependencies,
  state: OrderState,
  one: ReturnState,
  { origin, signal }: StepContext,
): Promise<OrderEvent[]> {
  if (one.refund === 0n) return [returned(state, one, { refund: 0n })];
  const { orderId, total } = state.placed!;
  const refundId = refundOf(one.returnId);
  const amount = { minorUnits: one.refund, currency: total!.currency };
  try {
    const { refunds } = await payments.createRefund(
      { requestId: '', paymentId: orderId, refundId, amount, reason: one.reason },
      { origin, signal, idempotent: true },
    );
    const made = refunds.find((known) => known.refundId === refundId)!;
    const back = returned(state, one, { refund: made.amount!.minorUnits });
    return made.completed ? [back, ...refundPaid(state, one.returnId, made.amount!.minorUnits)] : [back];
  } catch (error) {
    if (isCode(error, 'FAILED_PRECONDITION', 'NOT_FOUND'))
      return [returned(state, one, { refund: 0n, refundRefusal: error.reason })];
    throw notYet(error, 'payments');
  }
}

/** A process of the version before does not have the method: the step waits for one of today. */
function notYet(error: unknown, context: string): unknown {
  return error instanceof CaudalError && error.code === 'UNIMPLEMENTED' ? unavailable(context, error) : error;
}
