/**
 * Sales by country and day: gathered from all orders, without a trace of the single order in the view. What an order adds
 * is remembered beside it, since only its first event says where it goes and what it comes to.
 *
 * An order counts on the UTC day on which it was placed, whenever its other events happen. It is sold once it is confirmed
 * (paid, and its pieces out of the stock), or shipped: one that was to be cancelled and left all the same has no
 * `confirmed`. If it is cancelled or rejected after that, what it added is taken back. What is returned of it is counted beside what
 * was sold, so both are known; net figures are their difference, and made when they are read.
 */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import type { OrderCreated, OrderReturned } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import { type Revenue, Sales } from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import { gather, type MultiStreamProjection } from '@caudal/projections/multi-stream/types.ts';
import { ignored } from '@caudal/projections/types.ts';

/** Each country's of each day. */
function salesId({ country, day }: Pick<Sales, 'country' | 'day'>): string {
  return `${day}/${country}`;
}

/** Where and when an order counts. */
function placed({ country }: OrderCreated, at: Date): Pick<Sales, 'country' | 'day'> {
  return { country, day: at.toISOString().slice(0, 10) };
}

export const salesByDay: MultiStreamProjection<Sales> = {
  name: 'sales-by-day',
  version: 2,
  codec: Sales,
  gathers: [
    // The facts are the sales of this one order: `soldOrders` says whether they count at the moment.
    gather<Sales, EventOf<typeof order>, Sales>(order, {
      facts: {
        codec: Sales,
        remember({ event, at, facts }) {
          switch (event.$case) {
            case 'created': {
              const { lines, total } = event.value;
              const soldPieces = lines.reduce((pieces, { quantity }) => pieces + quantity, 0n);
              return Sales.fromPartial({ ...placed(event.value, at), soldPieces, revenue: total ? [total] : [] });
            }
            case 'confirmed':
            case 'shipped':
              return facts?.soldOrders === 0n ? { ...facts, soldOrders: 1n } : facts;
            // Kept for its returns, which may come months later: only where the order counts.
            case 'delivered':
              return facts && { ...Sales.fromPartial({ country: facts.country, day: facts.day }), soldOrders: 1n };
            case 'cancelled':
            case 'rejected':
              return undefined;
            default:
              return facts;
          }
        },
      },
      views({ event, at, facts }) {
        switch (event.$case) {
          case 'created':
            return [salesId(placed(event.value, at))];
          case 'confirmed':
          case 'shipped':
          case 'cancelled':
          case 'rejected':
          case 'returned':
            return facts ? [salesId(facts)] : [];
          default:
            return [];
        }
      },
      evolve(view, { event, at, facts }) {
        if (event.$case === 'created') {
          const sales = view ?? Sales.fromPartial(placed(event.value, at));
          return { ...sales, placedOrders: sales.placedOrders + 1n };
        }
        if (!view || !facts) return ignored;
        const isSold = facts.soldOrders > 0n;
        switch (event.$case) {
          case 'confirmed':
          case 'shipped':
            return isSold ? ignored : add(view, facts, 1n);
          case 'cancelled':
            return { ...(isSold ? add(view, facts, -1n) : view), cancelledOrders: view.cancelledOrders + 1n };
          case 'rejected':
            return { ...(isSold ? add(view, facts, -1n) : view), rejectedOrders: view.rejectedOrders + 1n };
          case 'returned':
            return addReturned(view, event.value);
          default:
            return ignored;
        }
      },
    }),
  ],
  keys: {
    country: { type: 'keyword', of: ({ country }) => country },
    day: { type: 'keyword', of: ({ day }) => day },
  },
  indexes: [
    ['day', 'country'],
    ['country', 'day'],
  ],
};

/** Adds pieces that are in the stock again, at the price at which they were sold. */
function addReturned(sales: Sales, { pieces = 0n, price, refund }: OrderReturned): Sales {
  const back = price ?? refund!;
  return {
    ...sales,
    returnedPieces: sum(sales.returnedPieces, pieces, 'pieces'),
    returnedRevenue: back.minorUnits === 0n ? sales.returnedRevenue : addAmount(sales.returnedRevenue, back, 1n),
  };
}

/** What is left of sales without returns, by currency: zero where all has come back. */
export function netRevenue({ revenue, returnedRevenue }: Sales): Revenue[] {
  return revenue.map(({ currency, minorUnits }) => {
    const back = returnedRevenue.find((amount) => amount.currency === currency)?.minorUnits ?? 0n;
    return { currency, minorUnits: minorUnits - back };
  });
}

/** Adds what an order comes to, or takes it back. */
function add(sales: Sales, one: Sales, sign: 1n | -1n): Sales {
  return {
    ...sales,
    soldOrders: sales.soldOrders + sign,
    soldPieces: sum(sales.soldPieces, sign * one.soldPieces, 'pieces'),
    revenue: one.revenue.reduce((all, amount) => addAmount(all, amount, sign), sales.revenue),
  };
}

function addAmount(all: Revenue[], { currency, minorUnits }: Revenue, sign: 1n | -1n): Revenue[] {
  const before = all.find((amount) => amount.currency === currency)?.minorUnits ?? 0n;
  const after = sum(before, sign * minorUnits, currency);
  const others = all.filter((amount) => amount.currency !== currency);
  if (after === 0n) return others;
  return [...others, { currency, minorUnits: after }].sort((a, b) => (a.currency < b.currency ? -1 : 1));
}

/** The contract has 64 bits. Some 9,000 of the largest orders of a country and a day would be more. */
function sum(one: bigint, other: bigint, what: string): bigint {
  const result = one + other;
  if (BigInt.asIntN(64, result) !== result) throw new RangeError(`the sum of ${what} is more than 64 bits hold`);
  return result;
}
