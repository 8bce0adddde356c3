/** The inventory context over a log of its own, called as its gRPC server calls it. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations } from '@caudal/eventlog/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { inventoryService } from '@caudal/service-inventory/commands/inventory-service.ts';

const schema = 'inventory';

export const migrateInventory = (url: string) => migrate({ url, schema, sets: [migrations] });

/** Opens it; the schema is there already. */
export function openInventory(url: string, poolSize: number) {
  const database = openDatabase({ url, schema, poolSize });
  const appender = openPipeline({ url, schema });
  const log = openEventLog({ database, appender, domain: schema });
  const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
  const definition = inventoryService({ aggregates, clock: systemClock });
  return {
    service: definition,
    api: definition.handlers as unknown as Handlers<InventoryServiceService>,
    async close() {
      await aggregates.drain();
      await log.stop();
      await Promise.all([appender.close(), database.close()]);
    },
  };
}
