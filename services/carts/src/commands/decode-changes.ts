/** Reads what a copy sends. */
import { type Cart, emptyCart } from '@caudal/carts/cart.ts';
import { decodeCart } from '@caudal/carts/encoding.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { hasCardNumber } from '@caudal/rpc/schema/card-numbers.ts';

/** Throws INVALID_ARGUMENT if it is no cart, or has a card number in what a person may have typed. */
export function decodeChanges(text: string): Cart {
  if (text === '') return emptyCart();
  const cart = decode(text);
  // The contract can't look into bytes.
  for (const typed of textsOf([...[...cart.lines.keys()].map((key) => itemOf(key).options), ...cart.fields.values()]))
    if (hasCardNumber(typed))
      throw invalidField('changes', 'must not contain a card number; pay with the token of a payment gateway');
  return cart;
}

function decode(text: string): Cart {
  try {
    return decodeCart(Buffer.from(text, 'base64url'));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw invalidField('changes', `must be bytes of @caudal/carts in base64url. ${error.message}`);
  }
}

/** All texts within a value of JSON, keys too. */
function* textsOf(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      yield key;
      yield* textsOf(inner);
    }
}
