import { join } from 'node:path';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type Clock, systemClock } from '@caudal/kernel/time.ts';
import { describe, expect, test } from '@jest/globals';
import type { ImportApi } from './api.ts';
import { readFacts } from './facts.ts';
import { type Plan, plan } from './plan.ts';
import { readFile } from './read-file.ts';
import { reconcile } from './reconcile.ts';
import { type Progress, runImport } from './run.ts';
import { type FakeSystem, fakeSystem } from './testing/fake-system.ts';
import { linesOf } from './testing/lines.ts';
import { smallPlan } from './testing/small-file.ts';
import { verifyImport } from './verify.ts';

const signal = new AbortController().signal;

interface Options {
  idPrefix?: string;
  signal?: AbortSignal;
  clock?: Clock;
  concurrency?: number;
  onProgress?: (progress: Progress) => void;
}

function run(planned: Plan, { api }: { api: ImportApi }, options: Options = {}) {
  return runImport({ plan: planned, api, clock: systemClock, signal, concurrency: 8, ...options });
}

/** Replaces methods of a client of the fake. */
function replace<Client extends object>(client: Client, methods: Partial<Client>): void {
  Object.assign(client, methods);
}

/** A system in which the import is killed during this call, which is done and not answered. */
function killingSystem(at: number) {
  const kill = new AbortController();
  const system = fakeSystem({
    stepsPerRead: 2,
    fault() {
      if (system.calls.length < at || kill.signal.aborted) return undefined;
      kill.abort(new Error('killed'));
      return 'after';
    },
  });
  return { system, killed: kill.signal };
}

/** The checks that fail. */
async function failedChecks(planned: Plan, { api }: FakeSystem, outcome: Awaited<ReturnType<typeof runImport>>) {
  const facts = await readFacts({ plan: planned, idPrefix: outcome.idPrefix, api, clock: systemClock, signal });
  return reconcile({ plan: planned, outcome, facts }).filter(({ ok }) => !ok);
}

/** Reproducible random numbers. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('an import', () => {
  test('runs the whole plan, and reconciles', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    const steps: Progress[] = [];
    const outcome = await run(planned, system, { onProgress: (progress) => steps.push(progress) });

    expect(await failedChecks(planned, system, outcome)).toEqual([]);
    const end = (reference: string) => outcome.orders.get(reference)?.end;
    expect(['1000', '1009', '2000', '2001', 'C2001', 'C2002'].map(end)).toEqual([
      'delivered',
      'cancelled',
      'rejected',
      'delivered',
      'cancelled',
      'cancelled',
    ]);
    const corrections = planned.corrections.map(({ delta, number }) => [delta, outcome.corrections.get(number)!.end]);
    expect(corrections).toEqual([
      [2n, 'applied'],
      [-1n, 'applied'],
      [-1n, 'refused'],
    ]);
    const total = planned.orders.length + planned.corrections.length;
    expect(steps.at(-1)).toEqual({ step: 'orders', done: total, total });
    expect(new Set(steps.map(({ step }) => step))).toEqual(new Set(['customers', 'products', 'wallets', 'orders']));
  });

  test('survives lost calls and lost answers, and does nothing twice', async () => {
    const planned = smallPlan();
    const random = chance(42);
    const system = fakeSystem({
      fault: () => {
        const drawn = random();
        return drawn < 0.1 ? 'before' : drawn < 0.2 ? 'after' : undefined;
      },
    });
    const outcome = await run(planned, system);
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
  });

  test('of the sample reconciles, with orders that exceed the stock', async () => {
    const planned = plan(await readFile(join(import.meta.dirname, '../data/online-retail-sample.csv')));
    const system = fakeSystem({ stepsPerRead: 4 });
    const outcome = await run(planned, system, { concurrency: 64 });
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
    const ends = [...outcome.orders.values()].map(({ end }) => end);
    expect(ends.filter((end) => end === 'rejected').length).toBeGreaterThan(100);
    expect(ends.filter((end) => end === 'delivered').length).toBeGreaterThan(1000);
  });
});

describe('prices', () => {
  const manyPrices = () =>
    plan(
      linesOf(
        Array.from({ length: 60 }, (_, index) => ({
          InvoiceNo: String(100 + (index >> 1)),
          StockCode: `P${(index * 7) % 3}`,
          UnitPrice: `${1 + ((index * 5) % 4)}.00`,
          Quantity: '1',
        })),
      ),
    );

  test('each order pays its own price, however many are placed at the same time', async () => {
    const planned = manyPrices();
    const system = fakeSystem();
    const outcome = await run(planned, system, { concurrency: 60 });
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
  });

  test('are set only where they change', async () => {
    const planned = plan(linesOf([{}, { InvoiceNo: '1' }, { InvoiceNo: '2' }]));
    const system = fakeSystem();
    await run(planned, system);
    expect(system.calls).not.toContain('setPrice');
  });

  test('are set for products that existed before, whatever their price', async () => {
    const planned = manyPrices();
    const system = fakeSystem();
    await run(planned, system);
    for (const product of system.products.values()) product.price!.minorUnits = 99_999n;
    const outcome = await run(planned, system, { idPrefix: 'another' });
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
  });

  test.each([10, 20, 30, 40, 50, 60])('are correct after the import was killed at call %i', async (at) => {
    const planned = manyPrices();
    const { system, killed } = killingSystem(at);
    await expect(run(planned, system, { signal: killed, concurrency: 5 })).rejects.toThrow('killed');
    const outcome = await run(planned, system, { concurrency: 7 });
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
  });
});

describe('started again', () => {
  test.each([1, 20, 60, 100, 140, 180, 220])('after it was killed at call %i, it continues', async (at) => {
    const planned = smallPlan();
    const { system, killed } = killingSystem(at);
    await expect(run(planned, system, { signal: killed })).rejects.toThrow('killed');

    const outcome = await run(planned, system);
    expect(await failedChecks(planned, system, outcome)).toEqual([]);
  });

  test('after its end, it finds everything done', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    const first = await run(planned, system);
    const before = structuredClone([system.stock, system.wallets, system.orders]);
    const second = await run(planned, system);
    expect(second.orders).toEqual(first.orders);
    expect([system.stock, system.wallets, system.orders]).toEqual(before);
    expect(await failedChecks(planned, system, second)).toEqual([]);
  });

  test('under another id it is another import, on top of the first', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    const first = await run(planned, system);
    const left = system.stock.get('BACK')!.onHand;
    const second = await run(planned, system, { idPrefix: 'again' });
    expect(second.stockBefore.get('BACK')).toBe(left);
    expect(first.stockBefore.get('BACK')).toBe(0n);
    expect(await failedChecks(planned, system, second)).toEqual([]);
    expect(system.orders.size).toBe(2 * planned.orders.length);
  });
});

describe('failures', () => {
  test('an order that does not advance is stuck, and the others continue', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    const { getOrder } = system.api.orderQueries;
    replace(system.api.orderQueries, {
      getOrder: (request, options) =>
        getOrder(request.orderId.endsWith('-1003') ? { ...request, orderId: 'nobody' } : request, options),
    });
    let minutes = 0;
    const outcome = await run(planned, system, {
      clock: () => new Date(Date.UTC(2026, 0, 1, 0, minutes)),
      onProgress({ step, done, total }) {
        if (step === 'orders' && done === total - 1) minutes = 10;
      },
    });
    expect(outcome.orders.get('1003')).toEqual({
      end: 'stuck',
      reason: expect.stringContaining('not in the views'),
    });
    expect(outcome.orders.get('1002')).toMatchObject({ end: 'delivered' });
    const failed = await failedChecks(planned, system, outcome);
    expect(failed.map(({ name }) => name)).toContain('orders that are stuck');
    expect(failed.flatMap(({ where }) => where)).toContainEqual(expect.stringContaining('1003'));
  });

  test('an order that is refused has failed, with the reason, and the others continue', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    const { createProduct } = system.api.catalog;
    replace(system.api.catalog, {
      async createProduct(request, options) {
        const product = await createProduct(request, options);
        if (request.productId === 'BACK') system.products.get('BACK')!.discontinued = true;
        return product;
      },
    });
    const outcome = await run(planned, system);
    expect(outcome.orders.get('2001')).toEqual({
      end: 'failed',
      reason: 'FAILED_PRECONDITION PRODUCT_NOT_SOLD: Not sold.',
    });
    expect(outcome.orders.get('1002')).toMatchObject({ end: 'delivered' });
    expect((await failedChecks(planned, system, outcome)).length).toBeGreaterThan(0);
  });

  test('if stock cannot be created nothing can be sold: the import ends at once with the reason', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    replace(system.api.stock, {
      async createStockItem() {
        throw new CaudalError('PERMISSION_DENIED', 'NOT_PERMITTED', 'You may not.');
      },
    });
    await expect(run(planned, system)).rejects.toThrow(/stock of \S+: PERMISSION_DENIED NOT_PERMITTED: You may not\./);
    expect(system.orders.size).toBe(0);
  });

  test('a service that stays unreachable is given up after the time limit', async () => {
    const planned = smallPlan();
    const system = fakeSystem({ fault: (method) => (method === 'deposit' ? 'before' : undefined) });
    let looks = 0;
    const clock = () => new Date(Date.UTC(2026, 0, 1, 0, looks++));
    await expect(run(planned, system, { clock })).rejects.toThrow('deposit to wallet-');
  });

  test('a bug of the import is not recorded as a refusal', async () => {
    const planned = smallPlan();
    const system = fakeSystem();
    replace(system.api.orders, {
      async placeOrder() {
        throw new TypeError('oops');
      },
    });
    await expect(run(planned, system)).rejects.toThrow('oops');
  });

  test('an id that would make ids too long is refused', async () => {
    await expect(run(smallPlan(), fakeSystem(), { idPrefix: 'x'.repeat(21) })).rejects.toThrow("can't begin an id");
  });
});

test('views that lag are read again until they reconcile', async () => {
  const planned = smallPlan();
  const system = fakeSystem();
  const outcome = await run(planned, system);
  const { listWallets } = system.api.walletQueries;
  let reads = 0;
  replace(system.api.walletQueries, {
    async listWallets(request, options) {
      const answer = await listWallets(request, options);
      if (++reads === 1) answer.wallets.pop();
      return answer;
    },
  });
  const { checks } = await verifyImport({ plan: planned, outcome, api: system.api, clock: systemClock, signal });
  expect(checks.every(({ ok }) => ok)).toBe(true);
  expect(reads).toBe(2);
});
