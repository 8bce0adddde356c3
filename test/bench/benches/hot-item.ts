/** All clients want the same product. */
import { newId } from '@caudal/kernel/ids.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { testCall } from '@caudal/testing/call.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { openCrudStock } from '../crud/stock.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { migrateInventory, openInventory } from '../inventory.ts';
import { closedLoop, takeTurns } from '../load.ts';
import type { Bench, Tools } from '../types.ts';

const clients = 256;
const connections = 16;
const plenty = 100_000_000;
const ttl = { seconds: 900n, nanos: 0 };

type Inventory = ReturnType<typeof openInventory>;

const create = ({ api }: Inventory, productId: string) =>
  api.createStockItem({ requestId: '', productId, kind: '', policy: {}, quantity: BigInt(plenty) }, testCall());

/** Reserves one piece, as an order does. */
const reserve = ({ api }: Inventory, productId: string) => {
  const reservationId = newId();
  const lines = [{ productId, quantity: 1n }];
  return api.reserveStock({ requestId: '', reservationId, lines, attributes: {}, ttl }, testCall());
};

export const hotItem: Bench = {
  name: 'hot-item',
  title: 'One hot product',
  compares: `${clients} clients reserve one piece each of the same product, again and again. Compared with a CRUD service (test/bench/crud) that locks the product's row, with the same number of connections; both are called in the same process, without gRPC.`,
  needs: ['postgres'],

  async run({ quick, say }: Tools) {
    const fresh = await freshDatabase();
    await migrateInventory(fresh.url);
    const inventory = openInventory(fresh.url, connections);
    const database = openDatabase({
      url: fresh.url,
      schema: 'public',
      poolSize: connections,
      connectTimeoutMs: 60_000,
    });
    const crud = await openCrudStock(database);
    const seconds = quick ? 2 : 5;
    let products = 0;
    try {
      const measured = await takeTurns(
        {
          async caudal() {
            const productId = `P-${products++}`;
            await create(inventory, productId);
            return closedLoop({ clients, seconds, work: () => reserve(inventory, productId) });
          },
          async crud() {
            const productId = `P-${products++}`;
            await crud.create(productId, plenty);
            const expireAt = new Date(Date.now() + 900_000);
            const work = () => crud.reserve({ reservationId: newId(), productId, quantity: 1, expireAt });
            return closedLoop({ clients, seconds, work });
          },
        },
        { rounds: quick ? 1 : 5, say },
      );
      const bench = 'hot-item';
      const rates = (name: keyof typeof measured) => measured[name].map(({ rate }) => rate);
      const ms = (metric: string, name: keyof typeof measured, of: 'p50' | 'p99' | 'max') =>
        figureOf(
          { bench, metric, unit: 'ms' },
          measured[name].map((each) => each[of]),
        );
      return [
        figureOf({ bench, metric: 'caudal', unit: '/s' }, rates('caudal')),
        figureOf({ bench, metric: 'crud', unit: '/s' }, rates('crud')),
        ms('caudal.p50', 'caudal', 'p50'),
        ms('caudal.p99', 'caudal', 'p99'),
        ms('crud.p50', 'crud', 'p50'),
        ms('crud.p99', 'crud', 'p99'),
        ratioOf({ bench, metric: 'vs-crud', goal: { kind: 'atLeast', value: 40 } }, rates('caudal'), rates('crud')),
      ];
    } finally {
      await inventory.close();
      await database.close();
      await fresh.drop();
    }
  },
};
