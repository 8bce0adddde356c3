/**
 * Runs a planned import through the public API: customers, products, stock and wallets first, then orders and
 * corrections by date. It stores no state. Ids of commands follow from the import's id. So an import that was killed is
 * started again with the same plan and continues: commands that are done already get their first answer.
 */

import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { CaudalError, isCode } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type ImportApi, patientApi } from './api.ts';
import { type CorrectionOutcome, type OrderOutcome, type Outcome, walletIdOf } from './outcome.ts';
import { byDate, type Correction, CURRENCY, type Plan, type PlannedOrder, type PlannedProduct } from './plan.ts';
import { createPrices, type Prices } from './prices.ts';
import { type OrderRun, runOrder } from './run-order.ts';

/** The progress: `done` of `total` items of this step. */
export interface Progress {
  step: 'customers' | 'products' | 'wallets' | 'orders';
  done: number;
  total: number;
}

export interface ImportOptions {
  plan: Plan;
  api: ImportApi;
  onProgress?: (progress: Progress) => void;
  /** Orders, or items of another step, in flight at the same time. */
  concurrency?: number;
  clock: Clock;
  /** Ends the import: it throws the signal's reason, and can be started again. */
  signal: AbortSignal;
  /**
   * Prefix of all ids: at most 20 characters; the plan's id if absent. Another prefix makes another import of the same
   * plan.
   */
  idPrefix?: string;
}

const DEFAULT_CONCURRENCY = 32;

/**
 * Imports the plan. Calls are repeated after transient errors; refusals of an order or a correction are in the outcome.
 * Throws if products, stock, customers or wallets can't be made, since nothing could be sold then.
 */
export async function runImport(options: ImportOptions): Promise<Outcome> {
  const { plan, clock, idPrefix = plan.id, concurrency = DEFAULT_CONCURRENCY } = options;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$/.test(idPrefix)) {
    throw new Error(`"${idPrefix}" can't begin an id: at most 20 letters, digits, dots, dashes and underscores`);
  }
  // The first failure ends the other calls, which would otherwise be repeated for minutes in vain.
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const api = patientApi(options.api, { clock, signal });
  const prices = createPrices(plan.orders, api.catalog);
  const outcome: Outcome = {
    idPrefix,
    orders: new Map(),
    corrections: new Map(),
    stockBefore: new Map(),
    walletsBefore: new Map(),
    startTime: clock(),
    seconds: 0,
    orderSeconds: 0,
  };
  const run: Run = { api, prices, idPrefix, clock, signal, outcome };

  const step = async <T>(name: Progress['step'], items: T[], work: (item: T) => Promise<void>) => {
    let done = 0;
    const report = () => options.onProgress?.({ step: name, done, total: items.length });
    report();
    await forEachConcurrent(items, concurrency, async (item) => {
      signal.throwIfAborted();
      try {
        await work(item);
      } catch (error) {
        failure.abort(error);
        throw error;
      }
      done++;
      report();
    });
  };

  await step('customers', [...plan.customers], ([id, { country }]) => registerCustomer(id, country, run));
  await step('products', [...plan.products], ([id, product]) => createProduct(id, product, run));
  const withWallet = [...plan.customers].filter(([, { walletDeposit }]) => walletDeposit > 0n);
  await step('wallets', withWallet, ([id, { walletDeposit }]) => fillWallet(id, walletDeposit, run));
  const ordersFrom = clock();
  await step('orders', [...plan.orders, ...plan.corrections].sort(byDate), (item) =>
    'fate' in item ? noteOrder(item, run) : noteCorrection(item, run),
  );
  const end = clock().getTime();
  outcome.seconds = (end - outcome.startTime.getTime()) / 1000;
  outcome.orderSeconds = (end - ordersFrom.getTime()) / 1000;
  return outcome;
}

interface Run extends OrderRun {
  prices: Prices;
  outcome: Outcome;
}

async function registerCustomer(customerId: string, country: string, { api, idPrefix }: Run): Promise<void> {
  const requestId = derivedId(idPrefix, 'customer', customerId);
  // The file has no names or addresses of customers.
  const request = { requestId, customerId, displayName: `Customer ${customerId}`, email: '', country };
  await saying(`customer ${customerId}`, madeOrThere(api.customers.registerCustomer(request)));
}

async function createProduct(productId: string, product: PlannedProduct, run: Run): Promise<void> {
  const { api, idPrefix, prices, outcome } = run;
  const { title, price, openingStock } = product;
  const created = await saying(
    `product ${productId}`,
    madeOrThere(
      api.catalog.createProduct({
        requestId: derivedId(idPrefix, 'product', productId),
        productId,
        title,
        description: '',
        category: '',
        price: { minorUnits: price, currency: CURRENCY },
      }),
    ),
  );
  // The price of an existing product is unknown; it is set before the first order of it.
  if (created) prices.know(productId, price);
  outcome.stockBefore.set(productId, await saying(`stock of ${productId}`, fillStock(productId, openingStock, run)));
}

/**
 * Adds the opening stock, also to existing stock. Returns the pieces from before; a later run gets the same, since
 * answers to commands are recorded. Undefined: the product had stock, and with nothing to add no answer contains its
 * size.
 */
async function fillStock(productId: string, quantity: bigint, { api, idPrefix }: Run): Promise<bigint | undefined> {
  const requestId = derivedId(idPrefix, 'stock', productId);
  const created = await madeOrThere(
    api.stock.createStockItem({ requestId, productId, kind: '', policy: {}, quantity }),
  );
  if (created) return 0n;
  if (quantity === 0n) return undefined;
  const restockId = derivedId(idPrefix, 'restock', productId);
  const restocked = await api.stock.restock({ requestId: restockId, productId, quantity });
  return restocked.onHand - quantity;
}

async function fillWallet(customerId: string, minorUnits: bigint, { api, idPrefix, outcome }: Run): Promise<void> {
  const walletId = walletIdOf(customerId);
  const requestId = derivedId(idPrefix, 'wallet', customerId);
  const depositId = derivedId(idPrefix, 'deposit', customerId);
  await saying(
    `wallet ${walletId}`,
    madeOrThere(api.wallets.createWallet({ requestId, walletId, customerId, currency: CURRENCY })),
  );
  const amount = { minorUnits, currency: CURRENCY };
  const wallet = await saying(
    `deposit to ${walletId}`,
    api.wallets.deposit({ requestId: depositId, walletId, amount, reference: idPrefix }),
  );
  outcome.walletsBefore.set(walletId, wallet.balance!.minorUnits - minorUnits);
}

async function noteOrder(order: PlannedOrder, run: Run): Promise<void> {
  const outcome = await runOrder(order, run).catch((error): OrderOutcome => {
    return { end: 'failed', reason: refusalOf(error, run) };
  });
  run.signal.throwIfAborted();
  run.outcome.orders.set(order.reference, outcome);
}

async function noteCorrection(correction: Correction, run: Run): Promise<void> {
  const { number, productId, delta, reason } = correction;
  const requestId = derivedId(run.idPrefix, 'correction', number);
  const outcome = await run.api.stock.adjustStock({ requestId, productId, delta, reason }).then(
    (): CorrectionOutcome => ({ end: 'applied', reason: '' }),
    (error): CorrectionOutcome => {
      const end = isCode(error, 'FAILED_PRECONDITION') ? 'refused' : 'failed';
      return { end, reason: refusalOf(error, run) };
    },
  );
  run.outcome.corrections.set(number, outcome);
}

/** Code, reason and message of a refusal. Throws any other error: the import was ended, or has a bug. */
function refusalOf(error: unknown, { signal }: Run): string {
  signal.throwIfAborted();
  if (!(error instanceof CaudalError)) throw error;
  return `${error.code} ${error.reason}: ${error.message}`;
}

/** The command's result; undefined if the thing existed before. */
async function madeOrThere<T>(made: Promise<T>): Promise<T | undefined> {
  return await made.catch((error) => {
    if (isCode(error, 'ALREADY_EXISTS')) return undefined;
    throw error;
  });
}

/** Adds the subject to the message of an error. */
async function saying<T>(what: string, done: Promise<T>): Promise<T> {
  return await done.catch((error) => {
    if (!(error instanceof CaudalError)) throw error;
    throw new Error(`The import can't go on: ${what}: ${error.code} ${error.reason}: ${error.message}`, {
      cause: error,
    });
  });
}
