/** Reads what a copy sends. */
import { type Cart, emptyCart } from '@caudal/carts/cart.ts';
import { decodeCart } from '@caudal/carts/encoding.ts';
import { invalidField } from '@caudal/kernel/errors.ts';

/** Throws INVALID_ARGUMENT if it is no cart. */
export function decodeChanges(text: string): Cart {
  if (text === '') return emptyCart();
  try {
    return decodeCart(Buffer.from(text, 'base64url'));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw invalidField('changes', `must be bytes of @caudal/carts in base64url. ${error.message}`);
  }
}
