/**
 * An order as its buyer sees it: placed, then confirmed, shipped and delivered, or else rejected or cancelled. This
 * aggregate permits or refuses each change of status; the saga (fulfilment.ts) does the work between the changes.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, order } from '@caudal/contract/entities.ts';
import type { OrderCreated } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import type { OrderLine } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError, notFound, refused } from '@caudal/kernel/errors.ts';
import { assertExpected, type ExpectedPrices, nothingExpected } from './price-guard.ts';
import { type Returnable, returnsAfter } from './returns.ts';
import { statusName } from './status-name.ts';

export type OrderEvent = EventOf<typeof order>;

export type Status = 'pending' | 'confirmed' | 'shipped' | 'delivered' | 'rejected' | 'cancelling' | 'cancelled';

export interface OrderState extends Returnable {
  status: Status;
  /** The status before the request to cancel. */
  before: Status;
  reason: string;
  /** The reservation of its pieces; empty until they are committed, and of orders that are older than this field. */
  reservationId: string;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export const orderDecider: Decider<OrderState, OrderEvent> = {
  entity: order,
  // The reference stays sealed in the state: no decision needs it, and the answers that show it open it.
  keepSealed: true,
  initial: {
    placed: undefined,
    status: 'pending',
    before: 'pending',
    reason: '',
    reservationId: '',
    returns: [],
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.placed?.customerId,
  evolve(state, event, at) {
    const now = { ...state, updateTime: at };
    switch (event.$case) {
      case 'created':
        return { ...now, placed: event.value, createTime: at };
      case 'confirmed':
      case 'shipped':
        return { ...now, status: event.$case, reservationId: event.value.reservationId || state.reservationId };
      case 'delivered':
        return { ...now, status: 'delivered' };
      case 'rejected':
        return { ...now, status: 'rejected', reason: event.value.reason };
      case 'cancelRequested':
        return { ...now, status: 'cancelling', before: state.status, reason: event.value.reason };
      case 'cancelRefused':
        return { ...now, status: state.status === 'cancelling' ? state.before : state.status, reason: '' };
      case 'cancelled':
        return { ...now, status: 'cancelled' };
      case 'returnRequested':
      case 'returned':
      case 'returnRefused':
      case 'returnAttentionNeeded':
      case 'returnRetried':
        return { ...now, returns: returnsAfter(state.returns, event, at) };
    }
  },
};

/** One product at the catalogue's price. */
export type PricedLine = OrderLine;

/** The largest amount of money in the contract. */
const mostMinorUnits = 1_000_000_000_000_000n;

/**
 * Places an order. All lines have the same currency; the total is their sum. Refused: ALREADY_EXISTS ORDER_EXISTS;
 * FAILED_PRECONDITION CURRENCIES_DIFFER, PRICE_CHANGED (the buyer has seen other prices), ORDER_TOO_LARGE.
 */
export function place(
  state: OrderState,
  order: Omit<OrderCreated, 'total'>,
  expected: ExpectedPrices = nothingExpected,
): OrderEvent[] {
  assertNew(state, order.orderId);
  const currency = order.lines[0]!.unitPrice!.currency;
  const foreign = order.lines.findIndex((line) => line.unitPrice!.currency !== currency);
  if (foreign >= 0) {
    throw refused('CURRENCIES_DIFFER', 'All lines of an order must be priced in one currency.', {
      violations: [
        {
          field: `lines[${foreign}].product_id`,
          description: `is priced in ${order.lines[foreign]!.unitPrice!.currency}, the first line in ${currency}: order it by itself`,
        },
      ],
    });
  }
  const minorUnits = order.lines.reduce((sum, line) => sum + line.quantity * line.unitPrice!.minorUnits, 0n);
  assertExpected(order.lines, { minorUnits, currency }, expected);
  if (minorUnits > mostMinorUnits) {
    throw refused('ORDER_TOO_LARGE', `The order's total is ${minorUnits} minor units, more than one payment can be.`, {
      violations: [
        {
          field: 'lines',
          description: `have a total of more than ${mostMinorUnits} minor units: place several orders`,
        },
      ],
    });
  }
  return [{ $case: 'created', value: { ...order, total: { minorUnits, currency } } }];
}

/** Throws ALREADY_EXISTS ORDER_EXISTS if the order is placed. */
export function assertNew(state: OrderState, orderId: string): void {
  if (state.placed) throw new CaudalError('ALREADY_EXISTS', 'ORDER_EXISTS', `There is an order "${orderId}" already.`);
}

function buyer(state: OrderState): { customerId: string } {
  return { customerId: state.placed!.customerId };
}

/** The order is paid and its pieces are committed. While it is cancelling, nothing happens: the cancellation wins. */
export function confirm(state: OrderState, reservationId: string): OrderEvent[] {
  return state.status === 'pending' ? [{ $case: 'confirmed', value: { ...buyer(state), reservationId } }] : [];
}

/** The first of its shipments has left the warehouse. */
export function ship(state: OrderState, reservationId: string): OrderEvent[] {
  const shipped: OrderEvent = { $case: 'shipped', value: { ...buyer(state), reservationId } };
  if (state.status === 'confirmed') return [shipped];
  // A shipment left before the cancellation reached it.
  if (state.status === 'cancelling') {
    return [{ $case: 'cancelRefused', value: { reason: 'It had left the warehouse.' } }, shipped];
  }
  return [];
}

/** The buyer has all its shipments. */
export function deliver(state: OrderState): OrderEvent[] {
  return state.status === 'shipped' ? [{ $case: 'delivered', value: buyer(state) }] : [];
}

/** Everything is undone: the order ends as cancelled if the buyer has requested that, else as rejected. */
export function abandon(state: OrderState, reason: string): OrderEvent[] {
  switch (state.status) {
    case 'pending':
    case 'confirmed':
      return [{ $case: 'rejected', value: { reason, ...buyer(state) } }];
    case 'cancelling':
      return [{ $case: 'cancelled', value: buyer(state) }];
    default:
      return [];
  }
}

/** The buyer requests to cancel the order. */
export function requestCancel(state: OrderState, input: { orderId: string; reason: string }): OrderEvent[] {
  if (!state.placed) throw notFound('order', input.orderId);
  switch (state.status) {
    case 'pending':
    case 'confirmed':
      return [{ $case: 'cancelRequested', value: { reason: input.reason } }];
    case 'cancelling':
    case 'cancelled':
      return [];
    default:
      throw refused('ORDER_NOT_CANCELLABLE', `The order is ${state.status}: it can't be cancelled any more.`, {
        metadata: { status: statusName(state.status) },
      });
  }
}
