import { given } from '@caudal/testing/given.ts';
import { describe, test } from '@jest/globals';
import {
  abandon,
  confirm as confirming,
  deliver,
  type OrderEvent,
  type OrderState,
  orderDecider,
  place,
  requestCancel,
  ship as shipping,
} from './order.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const line = { productId: 'P1', quantity: 3n, unitPrice: gbp(250n), title: 'Lantern' };
const draft = {
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [line],
  paymentMethod: { method: { $case: 'walletId' as const, value: 'w1' } },
  reference: '536365',
  attributes: {},
};
const created: OrderEvent = { $case: 'created', value: { ...draft, total: gbp(750n) } };
const confirmed: OrderEvent = { $case: 'confirmed', value: { customerId: 'c1', reservationId: 'o1.1' } };
const shipped: OrderEvent = { $case: 'shipped', value: { customerId: 'c1', reservationId: 'o1.1' } };
const delivered: OrderEvent = { $case: 'delivered', value: { customerId: 'c1' } };
const cancelRequested: OrderEvent = { $case: 'cancelRequested', value: { reason: 'too late' } };
const cancel = { orderId: 'o1', reason: 'too late' };
const confirm = (state: OrderState) => confirming(state, 'o1.1');
const ship = (state: OrderState) => shipping(state, 'o1.1');

describe('order', () => {
  test('is placed with the sum of its lines', () => {
    given(orderDecider, [])
      .when((state) => place(state, { ...draft, lines: [line, { ...line, productId: 'P2', quantity: 1n }] }))
      .gives([
        {
          $case: 'created',
          value: { ...draft, lines: [line, { ...line, productId: 'P2', quantity: 1n }], total: gbp(1000n) },
        },
      ]);
  });

  test('is placed once', () => {
    given(orderDecider, [created])
      .when((state) => place(state, draft))
      .refuses('ALREADY_EXISTS', 'ORDER_EXISTS');
  });

  test('has one currency', () => {
    const foreign = { ...line, productId: 'P2', unitPrice: { minorUnits: 1n, currency: 'EUR' } };
    given(orderDecider, [])
      .when((state) => place(state, { ...draft, lines: [line, foreign] }))
      .refuses('FAILED_PRECONDITION', 'CURRENCIES_DIFFER');
  });

  test('has a total of at most one payment', () => {
    const worth = (quantity: bigint) => ({ ...line, quantity, unitPrice: gbp(1_000_000_000n) });
    given(orderDecider, [])
      .when((state) => place(state, { ...draft, lines: [worth(1_000_000n)] }))
      .gives([
        {
          $case: 'created',
          value: { ...draft, lines: [worth(1_000_000n)], total: gbp(1_000_000_000_000_000n) },
        },
      ]);
    given(orderDecider, [])
      .when((state) => place(state, { ...draft, lines: [worth(999_999n), { ...worth(2n), productId: 'P2' }] }))
      .refuses('FAILED_PRECONDITION', 'ORDER_TOO_LARGE');
  });

  test('is placed at the prices that the buyer has seen, or not at all', () => {
    const other = { ...line, productId: 'P2', quantity: 1n, unitPrice: gbp(100n) };
    const placing = (total: bigint | undefined, unitPrices: [string, bigint][] = [], currency = 'GBP') =>
      given(orderDecider, []).when((state) =>
        place(
          state,
          { ...draft, lines: [line, other] },
          {
            total: total === undefined ? undefined : { minorUnits: total, currency },
            unitPrices: new Map(unitPrices.map(([id, minorUnits]) => [id, { minorUnits, currency }])),
          },
        ),
      );
    const placed: OrderEvent = { $case: 'created', value: { ...draft, lines: [line, other], total: gbp(850n) } };
    placing(850n).gives([placed]);
    placing(undefined, [['P2', 100n]]).gives([placed]);
    placing(850n, [
      ['P1', 250n],
      ['P2', 100n],
    ]).gives([placed]);
    placing(849n).refuses('FAILED_PRECONDITION', 'PRICE_CHANGED');
    placing(850n, [], 'EUR').refuses('FAILED_PRECONDITION', 'PRICE_CHANGED');
    // The total is the same by chance.
    placing(850n, [['P1', 249n]]).refuses('FAILED_PRECONDITION', 'PRICE_CHANGED');
  });

  test('is confirmed, shipped and delivered, each once', () => {
    given(orderDecider, [created]).when(confirm).gives([confirmed]);
    given(orderDecider, [created, confirmed]).when(confirm).gives([]);
    given(orderDecider, [created, confirmed]).when(ship).gives([shipped]);
    given(orderDecider, [created, confirmed, shipped]).when(ship).gives([]);
    given(orderDecider, [created, confirmed, shipped]).when(deliver).gives([delivered]);
    given(orderDecider, [created, confirmed, shipped, delivered]).when(deliver).gives([]);
  });

  test('can be cancelled until it has left; a second request changes nothing', () => {
    for (const before of [[created], [created, confirmed]]) {
      given(orderDecider, before)
        .when((state) => requestCancel(state, cancel))
        .gives([cancelRequested]);
    }
    given(orderDecider, [created, cancelRequested])
      .when((state) => requestCancel(state, cancel))
      .gives([]);
    given(orderDecider, [created, confirmed, shipped])
      .when((state) => requestCancel(state, cancel))
      .refuses('FAILED_PRECONDITION', 'ORDER_NOT_CANCELLABLE');
    given(orderDecider, [])
      .when((state) => requestCancel(state, cancel))
      .refuses('NOT_FOUND', 'ORDER_NOT_FOUND');
  });

  test('is not confirmed while it is being cancelled', () => {
    given(orderDecider, [created, cancelRequested]).when(confirm).gives([]);
  });

  test('that left the warehouse before the cancellation reached it is shipped', () => {
    given(orderDecider, [created, confirmed, cancelRequested])
      .when(ship)
      .gives([{ $case: 'cancelRefused', value: { reason: 'It had left the warehouse.' } }, shipped]);
  });

  test('ends as cancelled if the buyer requested that, else as rejected', () => {
    given(orderDecider, [created])
      .when((state) => abandon(state, 'INSUFFICIENT_STOCK'))
      .gives([{ $case: 'rejected', value: { reason: 'INSUFFICIENT_STOCK', customerId: 'c1' } }]);
    given(orderDecider, [created, cancelRequested])
      .when((state) => abandon(state, 'INSUFFICIENT_STOCK'))
      .gives([{ $case: 'cancelled', value: { customerId: 'c1' } }]);
    given(orderDecider, [created, confirmed, shipped])
      .when((state) => abandon(state, 'late'))
      .gives([]);
  });
});
