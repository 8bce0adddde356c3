/** Reads what a copy sends. */
import { type Cart, emptyCart } from '@caudal/carts/cart.ts';
import { decodeCart } from '@caudal/carts/encoding.ts';
import { valuesOf } from '@caudal/carts/fields.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { hasCardNumber } from '@caudal/rpc/schema/card-numbers.ts';

/** Throws INVALID_ARGUMENT if it is no cart, or has a card number in what a person may have typed. */
export function decodeChanges(text: string): Cart {
  if (text === '') return emptyCart();
  const cart = decode(text);
  // The contract can't look into bytes.
  for (const typed of typedIn(cart))
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

/** All texts that a person may have typed: decoding has checked that lines and fields have no others. */
function* typedIn({ lines, fields }: Cart): Generator<string> {
  for (const key of lines.keys()) yield* Object.entries(itemOf(key).options).flat();
  for (const field of fields.values())
    for (const value of valuesOf(field).flat()) if (typeof value === 'string') yield value;
}
