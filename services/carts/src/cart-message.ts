/** A stored cart as the API shows it. */
import { contribution, linesOf } from '@caudal/carts/cart.ts';
import { strategies, valuesOf } from '@caudal/carts/fields.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import {
  Cart,
  CartContribution,
  CartField,
  CartLine,
  CartLineProblem,
  CartView,
} from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { type StoredCart, serverDevice } from './domain/stored-cart.ts';
import type { Looked } from './prices.ts';
import type { CartRow } from './store/cart-store.ts';

export interface Shown {
  customerId: string;
  view: CartView;
  /** What the catalogue says now; absent if it was not asked. */
  products?: ReadonlyMap<string, Looked>;
}

export function cartMessage({ stored, changedAt }: Pick<CartRow, 'stored' | 'changedAt'>, shown: Shown): Cart {
  const isExplained = shown.view === CartView.CART_VIEW_EXPLAINED;
  return Cart.fromPartial({
    customerId: shown.customerId,
    lines: linesOf(stored.cart).map(({ key, quantity }) =>
      CartLine.fromPartial({
        ...itemOf(key),
        quantity: BigInt(quantity),
        firstUnitPrice: moneyOf(stored.prices.get(key)),
        ...(shown.products && present(shown.products.get(itemOf(key).productId), stored, key, quantity)),
        ...(isExplained && { contributions: contributionsOf(stored, key) }),
      }),
    ),
    fields: [...stored.cart.fields]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => {
        const values = valuesOf(field).flatMap((value) => (Array.isArray(value) ? value : [String(value)]));
        const stamp = isExplained ? strategies[field.strategy].stamp(field.state) : undefined;
        return CartField.fromPartial({
          ...{ name, values },
          ...(isExplained && { rule: field.strategy }),
          ...(stamp && { deviceId: deviceName(stamp.device), changeTime: new Date(stamp.ms) }),
        });
      }),
    version: BigInt(stored.version),
    updateTime: changedAt,
    lastOrderId: stored.lastOrderId,
    checkingOut: stored.checkout !== undefined,
  });
}

function moneyOf(price: { minorUnits: string; currency: string } | undefined): Money | undefined {
  return price && { minorUnits: BigInt(price.minorUnits), currency: price.currency };
}

function present(
  product: Looked | undefined,
  { prices }: StoredCart,
  key: string,
  quantity: number,
): Partial<CartLine> {
  if (!product) return {};
  if (product === 'unknown') return { problems: [CartLineProblem.CART_LINE_PROBLEM_UNKNOWN] };
  const { title, price, discontinued, available } = product;
  const first = moneyOf(prices.get(key));
  const problems: CartLineProblem[] = [];
  if (discontinued || !price) problems.push(CartLineProblem.CART_LINE_PROBLEM_NOT_SOLD);
  else if (available < quantity) problems.push(CartLineProblem.CART_LINE_PROBLEM_OUT_OF_STOCK);
  if (price && first && (first.minorUnits !== price.minorUnits || first.currency !== price.currency))
    problems.push(CartLineProblem.CART_LINE_PROBLEM_PRICE_CHANGED);
  return { title, unitPrice: price, problems };
}

function contributionsOf({ cart }: StoredCart, key: string): CartContribution[] {
  return [...cart.lines.get(key)!].map(([device, entry]) =>
    CartContribution.fromPartial({
      deviceId: deviceName(device),
      quantity: BigInt(contribution(entry)),
      changeTime: new Date(entry.at),
      rule: entry.seq > entry.removedSeq ? 'sum of devices' : 'removed',
    }),
  );
}

const deviceName = (device: string) => (device === serverDevice ? 'server' : device);
