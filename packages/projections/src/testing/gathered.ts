/** A multi-stream projection, its events, and the expected views computed independently, for this package's tests. */
import { type EventOf, order, payment } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { gather, type MultiStreamProjection } from '../multi-stream/types.ts';
import { deleted, ignored } from '../types.ts';
import { poison } from './projections.ts';

type OrderEvent = EventOf<typeof order>;
type PaymentEvent = EventOf<typeof payment>;

/** What a customer has ordered. The view ends when nothing is left. */
export interface Ordered {
  customer: string;
  orders: number;
  total: bigint;
  payments: number;
}

/** What an order counts as: for which customer, and how much. */
interface Counted {
  customer: string;
  total: bigint;
}

const nothing = (customer: string): Ordered => ({ customer, orders: 0, total: 0n, payments: 0 });

/**
 * Orders by customer, from two logs. A second `created` moves the order to another customer; `cancelled` takes it back;
 * `delivered` is the last event that matters. Payments count for the customer that they name.
 */
export const ordered: MultiStreamProjection<Ordered> = {
  name: 'test-ordered',
  version: 1,
  codec: {
    toJSON: ({ total, ...view }) => ({ ...view, total: String(total) }),
    fromJSON(json) {
      const { total, ...view } = json as Omit<Ordered, 'total'> & { total: string };
      return { ...view, total: BigInt(total) };
    },
  },
  gathers: [
    gather<Ordered, OrderEvent, Counted>(order, {
      facts: {
        codec: {
          toJSON: ({ customer, total }) => ({ customer, total: String(total) }),
          fromJSON(json) {
            const { customer, total } = json as { customer: string; total: string };
            return { customer, total: BigInt(total) };
          },
        },
        remember({ event, facts }) {
          switch (event.$case) {
            case 'created':
              return { customer: event.value.customerId, total: event.value.total!.minorUnits };
            case 'cancelled':
            case 'delivered':
              return undefined;
            default:
              return facts;
          }
        },
      },
      views({ event, facts }) {
        if (event.$case === 'created') return [...(facts ? [facts.customer] : []), event.value.customerId];
        return event.$case === 'cancelled' && facts ? [facts.customer] : event.$case === 'rejected' ? ['poisoned'] : [];
      },
      evolve(before, { event, facts }, id) {
        if (event.$case === 'rejected') {
          if (event.value.reason === poison) throw new Error(poison);
          return ignored;
        }
        let view = before ?? nothing(id);
        if (facts?.customer === id) view = { ...view, orders: view.orders - 1, total: view.total - facts.total };
        if (event.$case === 'created' && event.value.customerId === id)
          view = { ...view, orders: view.orders + 1, total: view.total + event.value.total!.minorUnits };
        return view.orders === 0 && view.payments === 0 ? deleted : view;
      },
    }),
    gather<Ordered, PaymentEvent>(payment, {
      views: ({ event }) => (event.$case === 'requested' ? [event.value.customerId] : []),
      evolve: (view, _, id) => ({ ...(view ?? nothing(id)), payments: (view?.payments ?? 0) + 1 }),
    }),
  ],
  keys: {
    orders: { type: 'long', of: ({ orders }) => orders },
  },
  indexes: [['orders']],
};

export const cancelled: OrderEvent = { $case: 'cancelled', value: { customerId: '' } };
export const delivered: OrderEvent = { $case: 'delivered', value: { customerId: '' } };

export function requested(customerId: string): PaymentEvent {
  const amount = { minorUnits: 1n, currency: 'GBP' };
  return { $case: 'requested', value: { paymentId: '', orderId: '', customerId, amount } as never };
}

/** The expected views, computed without any of the code under test. */
export function plainly(events: RecordedEvent[], without: (event: RecordedEvent) => boolean = () => false) {
  const orders = new Map<string, Counted & { open: boolean }>();
  const views = new Map<string, Ordered>();
  const viewOf = (customer: string) => {
    const view = views.get(customer) ?? nothing(customer);
    views.set(customer, view);
    return view;
  };
  const add = (customer: string, sign: 1 | -1, total: bigint) => {
    const view = viewOf(customer);
    view.orders += sign;
    view.total += BigInt(sign) * total;
  };
  for (const recorded of events) {
    if (without(recorded)) continue;
    if (recorded.stream.startsWith('payments.')) {
      const event = payment.decode(recorded);
      if (event.$case === 'requested') viewOf(event.value.customerId).payments += 1;
      continue;
    }
    const event = order.decode(recorded);
    const before = orders.get(recorded.stream);
    if (event.$case === 'created') {
      if (before?.open) add(before.customer, -1, before.total);
      const after = { customer: event.value.customerId, total: event.value.total!.minorUnits, open: true };
      add(after.customer, 1, after.total);
      orders.set(recorded.stream, after);
    } else if (event.$case === 'cancelled' || event.$case === 'delivered') {
      if (before?.open && event.$case === 'cancelled') add(before.customer, -1, before.total);
      if (before) before.open = false;
    }
  }
  return Object.fromEntries([...views].filter(([, { orders: n, payments }]) => n !== 0 || payments !== 0));
}
