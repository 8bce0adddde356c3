/** Reads carts from their rows: caudal.carts.v1.CartQueryService. */
import { linesOf } from '@caudal/carts/cart.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import { CartQueryServiceService, CartView } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import { service } from '@caudal/rpc/types.ts';
import { cartMessage } from '../cart-message.ts';
import type { Products } from '../prices.ts';
import type { CartStore } from '../store/cart-store.ts';
import { customerKey } from '../store/keys.ts';

export interface CartQueryDependencies {
  store: Pick<CartStore, 'read'>;
  seals: RowSeals;
  products: Products;
}

export function cartQueryService({ store, seals, products }: CartQueryDependencies) {
  return service(CartQueryServiceService, {
    async getCart({ customerId, view }, call) {
      const row = await store.read(await customerKey(seals, customerId));
      if (view === CartView.CART_VIEW_BASIC) return cartMessage(row, { customerId, view });
      const productIds = linesOf(row.stored.cart).map(({ key }) => itemOf(key).productId);
      return cartMessage(row, { customerId, view, products: await products.now(productIds, call) });
    },
  });
}
