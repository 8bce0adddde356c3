/** The processes of the benchmark `hot-state`: `URL SCHEMA grow COUNT` or `URL SCHEMA load`, the schema of a context. */

import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { inventoryService } from '@caudal/service-inventory/commands/inventory-service.ts';
import { stockDecider } from '@caudal/service-inventory/domain/stock.ts';
import { atWallet } from '@caudal/service-payments/commands/payment-step.ts';
import { walletService } from '@caudal/service-payments/commands/wallet-service.ts';
import { walletDecider } from '@caudal/service-payments/domain/wallet.ts';
import { customersBut } from '@caudal/service-payments/testing/customers.ts';
import { testCall } from '@caudal/testing/call.ts';
import { openLog } from './log.ts';

export interface HotState {
  /** MiB after a tenth of the work, and after all of it. */
  heaps: number[];
  /** Operations a second. */
  rate: number;
  /** The milliseconds of loads with an empty cache. */
  loads: number[];
}

const clients = 256;
const [url, schema, step, count] = process.argv.slice(2) as [string, string, string, string];
const { log, close } = openLog({ url, schema, poolSize: 4 });
const open = () => openAggregates({ log, clock: systemClock, ids: newId });

function heapMib(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

/** What is done again and again, and how its aggregate is loaded. */
const contexts: Record<string, { prepare(): Promise<() => Promise<unknown>>; load(): Promise<unknown> }> = {
  inventory: {
    async prepare() {
      const { handlers } = inventoryService({ aggregates: open(), clock: systemClock });
      const api = handlers as unknown as Handlers<InventoryServiceService>;
      const productId = 'HOT';
      const item = { requestId: '', productId, kind: '', policy: {}, quantity: 100_000_000n };
      await api.createStockItem(item, testCall());
      const lines = [{ productId, quantity: 1n }];
      return async () => {
        const about = { requestId: '', reservationId: newId(), lines };
        await api.reserveStock({ ...about, attributes: {}, ttl: { seconds: 900n, nanos: 0 } }, testCall());
        await api.commitReservation(about, testCall());
      };
    },
    load: () => open().load(stockDecider, 'HOT'),
  },
  payments: {
    async prepare() {
      const aggregates = open();
      const { handlers } = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true });
      const api = handlers as unknown as Handlers<WalletServiceService>;
      const walletId = 'HOT';
      await api.createWallet({ requestId: '', walletId, customerId: 'c', currency: 'GBP' }, testCall());
      const amount = { minorUnits: 100_000_000n, currency: 'GBP' };
      await api.deposit({ requestId: '', walletId, amount, reference: '' }, testCall());
      const method = { $case: 'walletId' as const, value: walletId };
      const money = { minorUnits: 1n, currency: 'GBP' };
      return async () => {
        const request = { paymentId: newId(), orderId: '', customerId: 'c', amount: money, method };
        const outcome = await atWallet(aggregates, request, testCall()).debit();
        if (outcome.kind !== 'taken') throw new Error(`A payment is ${outcome.kind}.`);
      };
    },
    load: () => open().load(walletDecider, 'HOT'),
  },
};

async function grow(): Promise<HotState> {
  const work = await contexts[schema]!.prepare();
  let left = 0;
  const worker = async () => {
    while (left-- > 0) await work();
  };
  const until = async (done: number) => {
    left = done;
    await Promise.all(Array.from({ length: clients }, worker));
    return heapMib();
  };
  const few = Number(count);
  const began = performance.now();
  const heaps = [await until(few), await until(9 * few)];
  return { heaps, rate: (10_000 * few) / (performance.now() - began), loads: [] };
}

async function load(): Promise<HotState> {
  // The connection is open by then.
  await log.loadSnapshot('');
  const loads: number[] = [];
  for (let n = 0; n < 9; n++) {
    const began = performance.now();
    await contexts[schema]!.load();
    loads.push(performance.now() - began);
  }
  return { heaps: [], rate: 0, loads };
}

const result = step === 'grow' ? await grow() : await load();
await close();
process.send!(result);
process.disconnect!();
