/** The processes of the benchmark `hot-state`: `URL KIND grow COUNT` or `URL KIND load`. */

import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { inventoryService } from '@caudal/service-inventory/commands/inventory-service.ts';
import { stockDecider } from '@caudal/service-inventory/domain/stock.ts';
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
const [url, kind, step, count] = process.argv.slice(2) as [string, string, string, string];
const { log, close } = openLog({ url, schema: 'inventory', poolSize: 4 });
const open = () => openAggregates({ log, clock: systemClock, ids: newId });

function heapMib(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

/** What is done again and again, and how its aggregate is loaded. */
const kinds: Record<string, { prepare(): Promise<() => Promise<unknown>>; load(): Promise<unknown> }> = {
  stock: {
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
};

async function grow(): Promise<HotState> {
  const work = await kinds[kind]!.prepare();
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
    await kinds[kind]!.load();
    loads.push(performance.now() - began);
  }
  return { heaps: [], rate: 0, loads };
}

const result = step === 'grow' ? await grow() : await load();
await close();
process.send!(result);
process.disconnect!();
