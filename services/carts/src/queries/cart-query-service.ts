/** Reads carts from their rows: caudal.carts.v1.CartQueryService. */
import { linesOf } from '@caudal/carts/cart.ts';
import { productOf } from '@caudal/carts/line-key.ts';
import { CartQueryServiceService, CartView } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import { type Client, service } from '@caudal/rpc/types.ts';
import { cartMessage } from '../cart-message.ts';
import type { Products } from '../prices.ts';
import { assertRegistered } from '../registration.ts';
import type { CartStore } from '../store/cart-store.ts';
import { customerKey } from '../store/keys.ts';

export interface CartQueryDependencies {
  store: Pick<CartStore, 'read'>;
  seals: RowSeals;
  customers: Client<CustomerQueryServiceService>;
  products: Products;
}

export function cartQueryService({ store, seals, customers, products }: CartQueryDependencies) {
  return service(CartQueryServiceService, {
    async getCart({ customerId, view }, call) {
      const row = await store.read(await customerKey(seals, customerId));
      if (!row.exists) await assertRegistered({ customers, customerId, call });
      if (view === CartView.CART_VIEW_BASIC) return cartMessage(row, { customerId, view });
      const productIds = linesOf(row.stored.cart).map(({ key }) => productOf(key));
      return cartMessage(row, { customerId, view, products: await products.now(productIds, call) });
    },
  });
}
