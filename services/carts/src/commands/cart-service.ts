/** Changes the carts of customers: caudal.carts.v1.CartService. */
import { addToLine, type Cart, quantityOf, setQuantity } from '@caudal/carts/cart.ts';
import { encodeCart } from '@caudal/carts/encoding.ts';
import { type FieldsConfig, writeField } from '@caudal/carts/fields.ts';
import { lineKey, maxKeyLength, productOf } from '@caudal/carts/line-key.ts';
import { checkTexts } from '@caudal/context/texts.ts';
import { type Cart as CartMessage, CartServiceService, CartView } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type Call, type Client, service } from '@caudal/rpc/types.ts';
import { cartMessage } from '../cart-message.ts';
import {
  answerTo,
  changedTo,
  isWorthWriting,
  type StoredCart,
  serverDevice,
  sync,
  withUid,
} from '../domain/stored-cart.ts';
import { type Products, withPrices } from '../prices.ts';
import { ofRegistered } from '../registration.ts';
import type { CartRow, CartStore } from '../store/cart-store.ts';
import { type CartKey, customerKey } from '../store/keys.ts';
import { type CheckOutDependencies, checkOutCart } from './check-out.ts';
import { decodeChanges } from './decode-changes.ts';
import { mergeGuestCart } from './merge-guest.ts';
import { reserveCart } from './reserve.ts';

export interface CartDependencies extends CheckOutDependencies {
  store: CartStore;
  seals: RowSeals;
  customers: Client<CustomerQueryServiceService>;
  products: Products;
  fields: FieldsConfig;
  clock: Clock;
}

export function cartService(dependencies: CartDependencies) {
  const { store, seals, customers, fields, clock, ids } = dependencies;
  return service(CartServiceService, {
    async syncCart({ customerId, ...request }, call) {
      const key = await customerKey(seals, customerId);
      return ofRegistered({ customers, customerId, call }, (assertMade) =>
        syncRow(dependencies, key, request, call, { check: assertMade }),
      );
    },
    addToCart({ customerId, productId, options, quantity }, call) {
      const key = keyOf(productId, options);
      return change(customerId, call, [key], (cart, by) => addToLine(cart, key, Number(quantity), by));
    },
    setCartQuantity({ customerId, productId, options, quantity }, call) {
      const key = keyOf(productId, options);
      return change(customerId, call, [key], (cart, by) => setQuantity(cart, key, Number(quantity), by));
    },
    setCartField({ customerId, name, value }, call) {
      return change(customerId, call, [], (cart, by) => ({ ...cart, fields: written(cart, name, value, by) }));
    },
    mergeGuestCart: mergeGuestCart(dependencies),
    reserveCart: reserveCart(dependencies),
    checkOutCart: checkOutCart(dependencies),
  });

  /** A change of a caller without a copy: the server is its author. */
  async function change(
    customerId: string,
    call: Call,
    lines: string[],
    act: (cart: Cart, by: { device: string; nowMs: number }) => Cart,
  ): Promise<CartMessage> {
    const key = await customerKey(seals, customerId);
    const found = await dependencies.products.now(productsOf(lines), call);
    const shown = { customerId, view: CartView.CART_VIEW_BASIC };
    return ofRegistered({ customers, customerId, call }, (assertMade) =>
      store.change({
        key,
        commandId: call.commandId,
        signal: call.signal,
        decide(row) {
          assertMade(row);
          const now = clock();
          const cart = act(row.stored.cart, { device: serverDevice, nowMs: now.getTime() });
          const stored = withPrices(row.stored, changedTo(row.stored, cart, now), lines, found);
          const after =
            stored === row.stored ? row : { ...row, exists: true, stored: withUid(stored, ids()), changedAt: now };
          return { row: after, reply: cartMessage(after, shown) };
        },
        repeat: (row) => cartMessage(row, shown),
      }),
    );
  }

  function written(cart: Cart, name: string, value: string, { device, nowMs }: { device: string; nowMs: number }) {
    const strategy = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!strategy) throw invalidField('name', `must be one of ${Object.keys(fields).join(', ')}`, 'CART_FIELD_UNKNOWN');
    const isNumber = strategy === 'sum' || strategy === 'maximum';
    if (isNumber && !/^-?[0-9]{1,12}$/.test(value)) throw wrongValue('must be a whole number');
    try {
      return writeField(cart.fields, { name, value: isNumber ? Number(value) : value, device, nowMs }, fields);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw wrongValue(error.message);
    }

    function wrongValue(problem: string) {
      return invalidField('value', `${problem} ("${name}" has the strategy ${strategy})`, 'CART_VALUE_INVALID');
    }
  }
}

const productsOf = (lines: string[]) => lines.map(productOf);

function keyOf(productId: string, options: Record<string, string>): string {
  checkTexts('options', options);
  const key = lineKey({ productId, options });
  if (key.length > maxKeyLength)
    throw invalidField('options', `must have fewer characters: with the product ${maxKeyLength}, written as in a URL`);
  return key;
}

/** The products of lines that come into the cart with these changes: as far as the row shows a line, its price is known. */
function newProducts({ stored }: CartRow, changes: Cart): string[] {
  const isThere = (cart: Cart, key: string) => quantityOf(cart.lines.get(key)) > 0;
  const lines = [...changes.lines.keys()].filter((key) => isThere(changes, key) && !isThere(stored.cart, key));
  return [...new Set(productsOf(lines))];
}

/**
 * Merges what a copy has sent, and answers with what it lacks. `row`: the row as it was just now, if that is known. `mostLookedUp`: of how
 * many products the catalogue is asked.
 */
export async function syncRow(
  { store, products, fields, clock, ids }: Pick<CartDependencies, 'store' | 'products' | 'fields' | 'clock' | 'ids'>,
  key: CartKey,
  request: { deviceId: string; cartUid: string; baseVersion: bigint; confirmedChange: bigint; changes: string },
  call: Call,
  { check, row: known, mostLookedUp }: { check(row: CartRow): void; row?: CartRow; mostLookedUp?: number },
) {
  const changes = decodeChanges(request.changes);
  const baseVersion = Number(request.baseVersion);
  const lines = [...changes.lines.keys()];
  const sold = lines.length > 0 ? newProducts(known ?? (await store.read(key)), changes) : [];
  const found = await products.now(sold.slice(0, mostLookedUp), call);
  const answer = (stored: StoredCart, before = stored) => ({
    version: BigInt(stored.version),
    changes: Buffer.from(encodeCart(answerTo(stored, baseVersion, before))).toString('base64url'),
    serverTime: clock(),
    cartUid: stored.uid ?? '',
  });
  return store.change({
    key,
    signal: call.signal,
    decide(row) {
      check(row);
      const now = clock();
      const sent = {
        ...{ device: request.deviceId, cartUid: request.cartUid },
        ...{ baseVersion, changes, confirmedChange: Number(request.confirmedChange) },
      };
      const synced = withUid(withPrices(row.stored, sync(row.stored, sent, fields, now), lines, found), ids());
      const isNews = synced.version > row.stored.version;
      const changedAt = isNews ? now : row.changedAt;
      const after = isWorthWriting(row.stored, synced, request.deviceId)
        ? { ...row, exists: true, stored: synced, changedAt }
        : row;
      return { row: after, reply: answer(synced, row.stored) };
    },
    repeat: (row) => answer(row.stored),
  });
}
