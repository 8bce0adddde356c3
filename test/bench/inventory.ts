/** The inventory context over a log of its own, called as its gRPC server calls it. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { migrations } from '@caudal/aggregates/migrations.ts';
import type { Self } from '@caudal/aggregates/owner-rows.ts';
import { openOwners } from '@caudal/aggregates/owners.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { inventoryService } from '@caudal/service-inventory/commands/inventory-service.ts';
import { migrateLog, openLog } from './log.ts';

const schema = 'inventory';

export const migrateInventory = (url: string) => migrateLog(url, schema, [migrations]);

/** Opens it; the schema exists already. `self`: the process as an owner of contended streams; absent: it can't be one. */
export function openInventory(url: string, poolSize: number, self?: Self) {
  const { log, database, close } = openLog({ url, schema, poolSize });
  const owners = self && openOwners({ database, ...self });
  const aggregates = openAggregates({ log, clock: systemClock, ids: newId, owners });
  const served = inventoryService({ aggregates, clock: systemClock });
  return {
    api: served.handlers as unknown as Handlers<InventoryServiceService>,
    service: served,
    ownedMs: (stream: string) => owners?.ownedMs(stream) ?? 0,
    async close() {
      await owners?.retire();
      await aggregates.drain();
      await close();
    },
  };
}
