/** The carts context on a database of its own, called as its gRPC server calls it. */
import { randomBytes } from 'node:crypto';
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { linesOf } from '@caudal/carts/cart.ts';
import type { CartServiceService } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { sealWith } from '@caudal/eventlog/personal/row-seals.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { cartService } from '@caudal/service-carts/commands/cart-service.ts';
import { parseFields, usualFields } from '@caudal/service-carts/fields-setting.ts';
import { openProducts } from '@caudal/service-carts/prices.ts';
import { openCartStore } from '@caudal/service-carts/store/cart-store.ts';
import { customerKey } from '@caudal/service-carts/store/keys.ts';
import { migrations } from '@caudal/service-carts/store/migrations.ts';
import { migrateLog, openLog } from './log.ts';

const schema = 'carts';

/** Makes the tables, and opens them. The catalogue answers at once: its time is not that of a cart. */
export async function openCarts(url: string, options: { poolSize: number; clock: Clock }) {
  const { poolSize, clock } = options;
  await migrateLog(url, schema);
  await migrate({ url, schema, sets: [migrations] });
  const { log, database, close } = openLog({ url, schema, poolSize, connectTimeoutMs: 60_000 });
  const store = openCartStore({ database, clock });
  const key = randomBytes(32);
  const seals = async (person: string) => sealWith(key, [schema, person]);
  const price = { minorUnits: 650n, currency: 'GBP' };
  const catalog = {
    getProduct: async ({ productId }: { productId: string }) => Product.fromPartial({ productId, price }),
  };
  const aggregates = openAggregates({ log, clock, ids: newId });
  const service = cartService({
    ...{ store, seals, clock, aggregates, ids: newId, fields: parseFields(usualFields) },
    products: openProducts({ catalog: catalog as never, clock }),
    // Asked once a customer: everybody is registered here.
    customers: {
      getCustomer: async ({ customerId }: { customerId: string }) => Customer.fromPartial({ customerId }),
    } as never,
    // Checkouts only.
    holdLimits: { mostPieces: 100, mostMs: 3_600_000 },
    ...{ inventory: undefined as never, orders: undefined as never, orderQueries: undefined as never },
  });
  return {
    api: service.handlers as unknown as Handlers<CartServiceService>,
    /** All pieces in the cart. */
    async pieces(customerId: string): Promise<number> {
      const { stored } = await store.read(await customerKey(seals, customerId));
      return linesOf(stored.cart).reduce((sum, { quantity }) => sum + quantity, 0);
    },
    async close() {
      await aggregates.drain();
      await close();
    },
  };
}

export type Carts = Awaited<ReturnType<typeof openCarts>>;
