/** The inventory context over a log of its own, called as its gRPC server calls it. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { inventoryService } from '@caudal/service-inventory/commands/inventory-service.ts';
import { migrateLog, openLog } from './log.ts';

const schema = 'inventory';

export const migrateInventory = (url: string) => migrateLog(url, schema);

/** Opens it; the schema exists already. */
export function openInventory(url: string, poolSize: number) {
  const { log, close } = openLog({ url, schema, poolSize });
  const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
  const { handlers } = inventoryService({ aggregates, clock: systemClock });
  return {
    api: handlers as unknown as Handlers<InventoryServiceService>,
    async close() {
      await aggregates.drain();
      await close();
    },
  };
}
