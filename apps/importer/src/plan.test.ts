import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatDecimal } from './decimal.ts';
import { fileAmount, type Plan, plan } from './plan.ts';
import { readFile } from './read-file.ts';
import type { FileLine } from './read-line.ts';
import { linesOf } from './testing/lines.ts';

const planOf = (...lines: Partial<FileLine>[]) => plan(linesOf(lines));

describe('the sample', () => {
  const sample = readFile(join(import.meta.dirname, '../data/online-retail-sample.csv')).then(plan);

  test('gets the same plan as before', async () => {
    const { id, file, orders, corrections, rejected, products, customers } = await sample;
    expect(id).toMatch(/^import-[0-9a-f]{8}$/);
    expect(file.lines).toBe(4792);
    expect(formatDecimal(file.total)).toBe('373086.011');
    expect([orders.length, corrections.length, products.size, customers.size]).toEqual([1474, 620, 3956, 874]);
    expect(rejected).toEqual([
      {
        number: 3381,
        why: 'UnitPrice 0.001 is a fraction of a penny, which is not a valid amount',
        amount: 1_000n,
        country: 'United Kingdom',
      },
      {
        number: 4009,
        why: 'Invoice A563185 is an accounting entry, not a sale',
        amount: 11_062_060_000n,
        country: 'United Kingdom',
      },
    ]);
    const fates = Object.groupBy(orders, ({ fate }) => fate);
    expect([fates.deliver?.length, fates.cancel?.length, fates.refund?.length]).toEqual([1287, 143, 44]);
  });

  test('has no line without a place in the plan', async () => {
    const planned = await sample;
    expectComplete(planned);
  });

  test('has orders that exceed the stock', async () => {
    const { orders, products, corrections } = await sample;
    const most = (productId: string) =>
      corrections
        .filter((correction) => correction.productId === productId && correction.delta > 0n)
        .reduce((sum, { delta }) => sum + delta, products.get(productId)!.openingStock);
    const hopeless = orders.filter(({ lines }) => lines.some((line) => line.quantity > most(line.productId)));
    expect(hopeless.length).toBeGreaterThan(100);
  });
});

describe('lines that are not imported', () => {
  test.each<[string, Partial<FileLine>]>([
    ['Has more or fewer values', { problem: 'Has more or fewer values than the heading has columns' }],
    ['InvoiceNo "" is not', { InvoiceNo: ' ' }],
    ['InvoiceNo "5 6" is not', { InvoiceNo: '5 6' }],
    ['StockCode "" can\'t', { StockCode: '' }],
    ['StockCode "£5" can\'t', { StockCode: '£5' }],
    ['Quantity "six" is not', { Quantity: 'six' }],
    ['Quantity "1.5" is not', { Quantity: '1.5' }],
    ['Quantity "12345678" is not', { Quantity: '12345678' }],
    ['Quantity is zero', { Quantity: '0' }],
    ['InvoiceDate "yesterday" is not a date', { InvoiceDate: 'yesterday' }],
    ['InvoiceDate "2010-02-30 08:26:00" is not a date', { InvoiceDate: '2010-02-30 08:26:00' }],
    ['InvoiceDate "13/1/2010 8:26" is not a date', { InvoiceDate: '13/1/2010 8:26' }],
    ['UnitPrice "" is not', { UnitPrice: '' }],
    ['UnitPrice "2,55" is not', { UnitPrice: '2,55' }],
    ['UnitPrice "-1" is not', { UnitPrice: '-1' }],
    ['UnitPrice 0.001 is a fraction of a penny', { UnitPrice: '0.001' }],
    ['Invoice A563185 is an accounting entry', { InvoiceNo: 'A563185' }],
    ['A cancellation of a positive quantity', { InvoiceNo: 'C536379' }],
    ['A negative quantity that is not a cancellation', { Quantity: '-1' }],
    ['CustomerID "a b" can\'t', { CustomerID: 'a b' }],
    ['Country is empty', { Country: '' }],
    ['Country is longer', { Country: 'x'.repeat(101) }],
  ])('%s', (why, line) => {
    const planned = planOf(line);
    expect(planned.rejected).toEqual([expect.objectContaining({ number: 2, why: expect.stringContaining(why) })]);
    expect(planned.orders).toEqual([]);
    expectComplete(planned);
  });
});

describe('sales', () => {
  test('an invoice is an order', () => {
    const { orders, products, customers } = planOf(
      {},
      { StockCode: '71053', Quantity: '20', UnitPrice: '3.39', Description: 'WHITE METAL LANTERN' },
    );
    expect(orders).toEqual([
      {
        reference: '536365',
        customerId: '17850',
        country: 'United Kingdom',
        date: '2010-12-01 08:26:00',
        lines: [
          { numbers: [2], productId: '85123A', quantity: 6n, unitPrice: 255n },
          { numbers: [3], productId: '71053', quantity: 20n, unitPrice: 339n },
        ],
        total: 8310n,
        payment: 'wallet',
        fate: 'deliver',
      },
    ]);
    // 5 per cent of 20 pieces is one piece; of 6 pieces none.
    expect([...products.values()].map(({ openingStock }) => openingStock)).toEqual([6n, 19n]);
    expect(customers).toEqual(new Map([['17850', { country: 'United Kingdom', walletDeposit: 8310n }]]));
  });

  test('a product that occurs twice at one price is one line; at two prices it is two orders', () => {
    const { orders } = planOf({}, { Quantity: '1' }, { UnitPrice: '3.00' }, { UnitPrice: '3.00', StockCode: 'X' });
    expect(orders.map(({ reference, total }) => [reference, total])).toEqual([
      ['536365', 1785n + 300n * 6n],
      ['536365-2', 1800n],
    ]);
    expect(orders[0]!.lines[0]).toMatchObject({ numbers: [2, 3], quantity: 7n });
  });

  test('an invoice of more lines than an order may have is several orders', () => {
    const planned = planOf(...Array.from({ length: 1100 }, (_, index) => ({ StockCode: `P${index}` })));
    expect(planned.orders.map(({ lines }) => lines.length)).toEqual([1000, 100]);
    expectComplete(planned);
  });

  test('buyers without a number are one guest customer that pays by card', () => {
    const { orders } = planOf(
      { CustomerID: '0' },
      { CustomerID: '0.0', InvoiceNo: '1' },
      { CustomerID: '', InvoiceNo: '2' },
    );
    expect(new Set(orders.map(({ customerId, payment }) => `${customerId} ${payment}`))).toEqual(
      new Set(['guest card']),
    );
  });

  test('every tenth sale is cancelled, in the order of dates', () => {
    const { orders } = planOf(
      ...Array.from({ length: 20 }, (_, index) => ({
        InvoiceNo: String(100 + index),
        InvoiceDate: `2010-12-${String(20 - index).padStart(2, '0')} 08:26:00`,
      })),
    );
    expect(orders.map(({ date }) => date)).toEqual(orders.map(({ date }) => date).sort());
    expect(orders.flatMap(({ fate }, index) => (fate === 'cancel' ? [index + 1] : []))).toEqual([10, 20]);
  });

  test('reads dates in the format of spreadsheets', () => {
    expect(planOf({ InvoiceDate: '12/1/2010 8:26' }).orders[0]!.date).toBe('2010-12-01 08:26:00');
  });

  test('a gift is an order with a total of zero', () => {
    const { orders } = planOf({ UnitPrice: '0' });
    expect(orders).toEqual([expect.objectContaining({ total: 0n, payment: 'card', fate: 'deliver' })]);
  });
});

describe('cancellations', () => {
  const cancellation = { InvoiceNo: 'C536379', Quantity: '-2', InvoiceDate: '2010-12-02 08:00:00' };

  test('with its purchase: the pieces leave the purchase and become an order that is cancelled', () => {
    const planned = planOf({}, cancellation);
    expect(planned.orders).toEqual([
      expect.objectContaining({ reference: '536365', fate: 'deliver', total: 4n * 255n }),
      expect.objectContaining({ reference: 'C536379', fate: 'return', total: 2n * 255n }),
    ]);
    expectComplete(planned);
  });

  test('of a whole purchase: only the cancelled order is left', () => {
    const planned = planOf({}, { ...cancellation, Quantity: '-6' });
    expect(planned.orders).toEqual([expect.objectContaining({ reference: 'C536379', fate: 'return' })]);
    expect(planned.orders[0]!.lines).toEqual([expect.objectContaining({ numbers: [2, 3] })]);
    expectComplete(planned);
  });

  test.each<[string, Partial<FileLine>[]]>([
    ['nothing', [cancellation]],
    ['another customer', [{}, { ...cancellation, CustomerID: '1' }]],
    ['another country', [{}, { ...cancellation, Country: 'France' }]],
    ['another price', [{}, { ...cancellation, UnitPrice: '2.50' }]],
    ['a later purchase', [{}, { ...cancellation, InvoiceDate: '2010-11-30 08:00:00' }]],
    ['fewer pieces', [{}, { ...cancellation, Quantity: '-7' }]],
    ['a guest', [{ CustomerID: '0' }, { ...cancellation, CustomerID: '0' }]],
  ])('if the file has %s: bought, then refunded', (_, lines) => {
    const planned = planOf(...lines);
    const order = planned.orders.find(({ reference }) => reference === 'C536379')!;
    expect(order.fate).toBe('refund');
    expect(fileAmount(order)).toBeLessThan(0n);
    expectComplete(planned);
  });

  test('with and without their purchase in one invoice are two orders', () => {
    const planned = planOf({}, cancellation, { ...cancellation, StockCode: 'D' });
    expect(planned.orders.map(({ reference, fate }) => [reference, fate])).toEqual([
      ['536365', 'deliver'],
      ['C536379', 'return'],
      ['C536379-2', 'refund'],
    ]);
    expectComplete(planned);
  });
});

describe('corrections', () => {
  test('at a price of zero, a negative quantity is lost, and a positive one without a buyer is found', () => {
    const planned = planOf(
      { UnitPrice: '0', Quantity: '-3', CustomerID: '0', Description: 'damages' },
      { UnitPrice: '0', Quantity: '4', CustomerID: '0', Description: '' },
    );
    expect(planned.corrections).toEqual([
      { number: 2, productId: '85123A', delta: -3n, reason: 'damages', date: '2010-12-01 08:26:00' },
      { number: 3, productId: '85123A', delta: 4n, reason: '85123A', date: '2010-12-01 08:26:00' },
    ]);
    expect(planned.products.get('85123A')).toEqual({ title: '85123A', price: 0n, openingStock: 0n });
    expectComplete(planned);
  });

  test('a remark is not used as a title', () => {
    const { products } = planOf({}, { UnitPrice: '0', Quantity: '-3', Description: 'damages' });
    expect(products.get('85123A')!.title).toBe('WHITE HANGING HEART T-LIGHT HOLDER');
  });

  test('a gift that is cancelled is not counted as lost', () => {
    const { corrections, orders } = planOf({ InvoiceNo: 'C1', UnitPrice: '0', Quantity: '-3' });
    expect(corrections).toEqual([]);
    expect(orders[0]!.fate).toBe('refund');
  });
});

test('an empty file gives an empty plan', () => {
  expect(plan([])).toMatchObject({ orders: [], corrections: [], rejected: [], file: { lines: 0, total: 0n } });
});

test('the id follows from the lines', () => {
  expect(planOf({}).id).toBe(planOf({}).id);
  expect(planOf({}).id).not.toBe(planOf({ Quantity: '7' }).id);
});

test('for any lines, each has one place in the plan, and the sums add up', () => {
  const line = fc.record({
    InvoiceNo: fc.constantFrom('1', '2', '3', 'C1', 'C2', 'A3', '', '9 9'),
    StockCode: fc.constantFrom('A', 'B', 'C D', '?'),
    Description: fc.constantFrom('', 'thing'),
    Quantity: fc.oneof(fc.integer({ min: -9, max: 9 }).map(String), fc.constantFrom('', ' 5 ', 'x', '99999999')),
    UnitPrice: fc.constantFrom('0', '1', '1.00', '2.55', '0.001', ' 3.1', '-1', 'x', ''),
    InvoiceDate: fc.constantFrom('2010-12-01 08:26:00', '2010-12-02 08:26:00', '12/3/2010 8:26', '?'),
    CustomerID: fc.constantFrom('1', '2.0', '0', '', '!'),
    Country: fc.constantFrom('France', ' France', 'Spain', ''),
    problem: fc.option(fc.constant('broken'), { nil: undefined, freq: 10 }),
  });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 60 }), (lines) => {
      const planned = plan(linesOf(lines));
      expect(planned.file.lines).toBe(lines.length);
      expectComplete(planned);
    }),
    { numRuns: 500 },
  );
});

/** Every line of the file has one place in the plan; their sums are those of the file; orders can be placed. */
function expectComplete({ orders, corrections, rejected, file, products, customers }: Plan): void {
  const numbers = [
    ...orders.flatMap(({ lines }) => lines.flatMap((line) => line.numbers)),
    ...corrections.map(({ number }) => number),
    ...rejected.map(({ number }) => number),
  ];
  expect(numbers).toHaveLength(file.lines);
  expect(new Set(numbers).size).toBe(file.lines);

  const sums = new Map([...file.byCountry.keys()].map((country) => [country, 0n]));
  const add = (country: string, amount: bigint) => sums.set(country, sums.get(country)! + amount);
  for (const order of orders) add(order.country, fileAmount(order));
  for (const { country, amount } of rejected) add(country, amount);
  expect(sums).toEqual(file.byCountry);
  expect([...sums.values()].reduce((sum, amount) => sum + amount, 0n)).toBe(file.total);

  expect(new Set(orders.map(({ reference }) => reference)).size).toBe(orders.length);
  let deposits = 0n;
  for (const { lines, total, customerId, payment } of orders) {
    expect(new Set(lines.map(({ productId }) => productId)).size).toBe(lines.length);
    expect(lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0n)).toBe(total);
    for (const { productId, quantity } of lines) {
      expect(quantity).toBeGreaterThan(0n);
      expect(products.has(productId)).toBe(true);
    }
    expect(customers.has(customerId)).toBe(true);
    if (payment === 'wallet') deposits += total;
  }
  expect([...customers.values()].reduce((sum, { walletDeposit }) => sum + walletDeposit, 0n)).toBe(deposits);
  for (const { productId } of corrections) expect(products.has(productId)).toBe(true);
}
