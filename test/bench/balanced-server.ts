/** A process that answers GetStockItem after a while, for the benchmark `balancing`. It sends its port, and its calls when asked. */
import { InventoryQueryServiceService, StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { startServer } from '@caudal/rpc/server/server.ts';
import { service } from '@caudal/rpc/types.ts';

const { delayMs } = JSON.parse(process.argv[2]!) as { delayMs: number };
const answer = StockItem.fromPartial({ productId: 'P-1', onHand: 10n, available: 10n });
let calls = 0;
const unused = async (): Promise<never> => {
  throw new Error('Not in this benchmark.');
};
const server = await startServer({
  services: [
    service(InventoryQueryServiceService, {
      async getStockItem() {
        calls++;
        await sleep(delayMs);
        return answer;
      },
      listStockItems: unused,
      countStockItems: unused,
    }),
  ],
  auth: async () => ({ subject: 'service:bench', permissions: new Set(['inventory.stock.read']) }),
  grpc: { host: '127.0.0.1', port: 0 },
});
process.on('message', () => process.send!(calls));
process.send!(server.grpcPort);
