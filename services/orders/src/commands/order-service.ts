/** Places and cancels orders, returns pieces of them, and settles returns. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { checkEtag, tellsOfOthers } from '@caudal/context/etag.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { checkTexts } from '@caudal/context/texts.ts';
import { assertDistinctProducts } from '@caudal/contract/distinct-products.ts';
import type { CatalogServiceService, Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import {
  Order,
  type OrderQueryServiceService,
  OrderServiceService,
  type PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { personalCodec } from '@caudal/contract/personal.ts';
import { CaudalError, type FieldViolation, invalidField, isCode, refused } from '@caudal/kernel/errors.ts';
import { derivedId, type IdSource, timeOfId } from '@caudal/kernel/ids.ts';
import { type Clock, limitedTo } from '@caudal/kernel/time.ts';
import { type Call, type CallOptions, type Client, service } from '@caudal/rpc/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import {
  assertNew,
  type OrderEvent,
  type OrderState,
  orderDecider,
  type PricedLine,
  place,
  requestCancel,
} from '../domain/order.ts';
import type { ExpectedPrices } from '../domain/price-guard.ts';
import { assertNewReturn, requestReturn, settleReturn } from '../domain/returns.ts';
import { orderMessage } from '../order-message.ts';
import { withPaid } from '../projections/order-parts.ts';
import { type OpenTexts, withReferences } from '../references.ts';

export interface OrderServiceDependencies {
  aggregates: Aggregates;
  catalog: Client<CatalogServiceService>;
  customers: Client<CustomerQueryServiceService>;
  queries: Client<OrderQueryServiceService>;
  ids: IdSource;
  clock: Clock;
  openTexts: OpenTexts;
}

const log = logger('orders');

/** Answers are stored for repeats: the reference is sealed there as well. */
const replyCodec = personalCodec('caudal.orders.v1.Order', Order);

export function orderService({
  aggregates,
  catalog,
  customers,
  queries,
  ids,
  clock,
  openTexts,
}: OrderServiceDependencies) {
  return service(OrderServiceService, {
    async placeOrder(request, call) {
      const expected = expectedPrices(request);
      const checked = await lookedUp(request, call);
      const orderId = request.orderId || ids();
      assertOfPresent(orderId, clock());
      const { customerId, country, paymentMethod, reference, attributes } = request;
      const answer = await executeFor(call, aggregates, {
        decider: orderDecider,
        id: orderId,
        decide(state) {
          // First: a repeat without a request id must not read that prices have changed since, and order again.
          assertNew(state, orderId);
          // Thrown only here: a repeat gets the recorded answer, even if its products are no longer sold, or the catalogue is
          // away.
          if (checked instanceof CaudalError) throw checked;
          const order = { orderId, customerId, country, lines: checked, paymentMethod, reference, attributes };
          return place(state, order, expected);
        },
        reply: ({ state, version }) => orderMessage(state, version),
        replyCodec,
      });
      return shown(answer);
    },

    async cancelOrder({ orderId, etag, reason }, call) {
      // The caller's right comes first: how long the view takes tells whether there is one.
      call.authorize(orderDecider.owner!((await aggregates.load(orderDecider, orderId)).state));
      return change(orderId, etag, call, { authorize: call.authorize }, (state) =>
        requestCancel(state, { orderId, reason }),
      );
    },

    async returnOrder({ orderId, etag, returnId: chosen, lines, reason, refund }, call) {
      assertDistinctProducts(lines);
      const returnId = chosen || (call.commandId ? derivedId(call.commandId.key, 'return') : ids());
      // After its own return a repeat must not be told to read again, and return once more.
      const before = (state: OrderState) => assertNewReturn(state, returnId);
      return change(orderId, etag, call, { before }, (state) =>
        requestReturn(state, { orderId, returnId, lines, reason, refund }),
      );
    },

    settleReturn: ({ orderId, etag, returnId, decision, note }, call) =>
      change(orderId, etag, call, {}, (state) => settleReturn(state, { orderId, returnId, decision, note })),
  });

  /**
   * Changes an order. `before` is checked before the etag. The answer has payment and shipments as the view has them before the change, and is
   * recorded so: a repeat gets the same.
   */
  async function change(
    orderId: string,
    etag: string,
    call: Call,
    checks: { authorize?: Call['authorize']; before?: (state: OrderState) => void },
    decide: (state: OrderState) => OrderEvent[],
  ): Promise<Order> {
    const viewed = await view(orderId, call, tellsOfOthers(etag));
    const answer = await executeFor(call, aggregates, {
      decider: orderDecider,
      id: orderId,
      authorize: checks.authorize,
      decide(state, { version }) {
        checks.before?.(state);
        // It is checked only here: a repeat gets the recorded answer.
        checkEtag(etag, version, viewed?.etag);
        return decide(state);
      },
      reply: ({ state, version }) => withOthers(orderMessage(state, version), viewed),
      replyCodec,
    });
    return shown(answer);
  }

  /**
   * The order as its view has it; undefined if there is none. If it is only wanted for the answer, the command must not wait for it long, nor
   * fail without it.
   */
  async function view(orderId: string, call: Call, isNeeded: boolean): Promise<Order | undefined> {
    const limit = limitedTo(viewMs, call.signal);
    const signal = isNeeded ? call.signal : limit.signal;
    try {
      return await queries.getOrder({ orderId, readMask: partsOfOthers }, { ...onBehalfOf(call), signal });
    } catch (error) {
      // There is no view of it yet, or no order at all, which the command finds out.
      if (isCode(error, 'NOT_FOUND')) return undefined;
      if (isNeeded) throw error;
      log.debug({ orderId, err: error }, 'an answer has no payment and no shipments');
      return undefined;
    } finally {
      limit.end();
    }
  }

  /** The lines at the catalogue's prices, or the error that refuses the order; a transient one if that can't be found out. */
  async function lookedUp(request: PlaceOrderRequest, call: Call): Promise<PricedLine[] | CaudalError> {
    try {
      assertMayDescribe(request, call);
      const [lines] = await Promise.all([priced(request, call), knownCustomer(request.customerId, call)]);
      return lines;
    } catch (error) {
      if (!(error instanceof CaudalError)) throw error;
      return error;
    }
  }

  /** The lines at the catalogue's prices. Throws one error that names all lines that can't be sold. */
  async function priced(request: PlaceOrderRequest, call: Call): Promise<PricedLine[]> {
    const productIds = request.lines.map((line) => line.productId);
    assertDistinctProducts(request.lines);
    const { products } = await catalog.batchGetProducts({ productIds }, onBehalfOf(call));
    const byId = new Map(products.map((product) => [product.productId, product]));
    const violations: FieldViolation[] = [];
    productIds.forEach((id, index) => {
      const problem = whyNotSold(byId.get(id));
      if (problem) violations.push({ field: `lines[${index}].product_id`, description: `"${id}" ${problem}` });
    });
    if (violations.length > 0) {
      throw refused('PRODUCT_NOT_SOLD', 'Some of the products are not for sale.', { violations });
    }
    return request.lines.map(({ productId, quantity }) => {
      const product = byId.get(productId)!;
      return { productId, quantity, unitPrice: product.price, title: product.title };
    });
  }

  async function knownCustomer(customerId: string, call: Call): Promise<void> {
    // Nothing personal is asked for, so that no key is needed.
    const known = await customers
      .getCustomer({ customerId, readMask: ['customer_id', 'erase_time'] }, onBehalfOf(call))
      .catch((error) => {
        // A process of version 0.2 does not know the field.
        if (!isCode(error, 'INVALID_ARGUMENT')) throw error;
        return customers.getCustomer({ customerId, readMask: undefined }, onBehalfOf(call));
      })
      .catch((error) => {
        if (!isCode(error, 'NOT_FOUND')) throw error;
        throw refused('CUSTOMER_UNKNOWN', `There is no customer "${customerId}".`, {
          violations: [{ field: 'customer_id', description: 'is not registered: register the customer first' }],
        });
      });
    if (known.eraseTime)
      throw refused('CUSTOMER_ERASED', `The customer "${customerId}" was erased, and can't order any more.`);
  }

  async function shown(answer: Order): Promise<Order> {
    const [opened] = await withReferences([answer], openTexts);
    return opened!;
  }
}

/** The order with its payment and shipments, and what they say of its returns. */
function withOthers(own: Order, viewed: Order | undefined): Order {
  if (!viewed) return own;
  const { payment, shipment, shipments, fulfilmentStatus } = viewed;
  return { ...own, payment, shipment, shipments, fulfilmentStatus, returns: withPaid(own.returns, payment) };
}

/** Throws INVALID_ARGUMENT if one is below zero. */
function expectedPrices({ expectedTotal, lines }: PlaceOrderRequest): ExpectedPrices {
  const mustBePrice = (price: Money, field: string) => {
    if (price.minorUnits < 0n) throw invalidField(`${field}.minor_units`, 'must not be below zero');
    return price;
  };
  const seen = lines.flatMap(({ productId, expectedUnitPrice }, index) =>
    expectedUnitPrice
      ? [[productId, mustBePrice(expectedUnitPrice, `lines[${index}].expected_unit_price`)] as const]
      : [],
  );
  if (expectedTotal) mustBePrice(expectedTotal, 'expected_total');
  return { total: expectedTotal, unitPrices: new Map(seen) };
}

/**
 * The order's reservation has its id, and stock remembers ids of reservations by the time in them. The saga could do nothing with
 * one that is refused there.
 */
function assertOfPresent(orderId: string, now: Date): void {
  const madeAt = timeOfId(orderId);
  if (madeAt !== undefined && madeAt > now.getTime() + dayMs)
    throw invalidField('order_id', 'has a time in it (UUIDv7) that is more than a day ahead', 'ID_FROM_FUTURE');
}

const dayMs = 86_400_000;

/** How long an answer waits for what other contexts hold of the order. */
const viewMs = 500;
const partsOfOthers = ['order_id', 'payment', 'shipment', 'shipments', 'fulfilment_status', 'etag'];

/** Options of a call that ends when the caller's own call ends. */
function onBehalfOf({ origin, deadline, signal }: Call): CallOptions {
  return { origin, deadline, signal };
}

/** Attributes decide what a buyer may buy (a tier), so only a token of the shop may set them. */
function assertMayDescribe({ attributes }: PlaceOrderRequest, call: Call): void {
  if (Object.keys(attributes).length === 0) return;
  checkTexts('attributes', attributes);
  try {
    // No owner: only a caller with the permission to place orders for all buyers passes.
    call.authorize(undefined);
  } catch (cause) {
    const message = 'Attributes of the buyer need the permission to place orders for all buyers.';
    throw new CaudalError('PERMISSION_DENIED', 'ATTRIBUTES_NOT_ALLOWED', message, {
      cause,
      violations: [{ field: 'attributes', description: 'leave it out, or use a token of the shop' }],
    });
  }
}

function whyNotSold(product: Product | undefined): string | undefined {
  if (!product) return 'is not in the catalogue';
  if (product.discontinued) return 'is not sold any more';
  if (!product.price) return 'has no price yet';
  return undefined;
}
