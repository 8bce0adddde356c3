/**
 * What opens a cart's row: the customer's key, which an erasure destroys; or the token of a guest's cart, of which only a hash is stored.
 * So nothing in the database opens a guest's cart.
 */
import { createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { type RowSeal, type RowSeals, sealWith } from '@caudal/eventlog/personal/row-seals.ts';
import { CaudalError, refused } from '@caudal/kernel/errors.ts';

export interface CartKey {
  /** The row. */
  cartId: string;
  seal: RowSeal;
  /** Of a customer's cart: whose key seals it. */
  customerId?: string;
  /** Of a guest's cart. */
  tokenHash?: Buffer;
}

/** The row of a customer's cart. */
export const customerCartId = (customerId: string) => `c/${customerId}`;

/** A new token of a guest's cart: 256 random bits. */
export const newGuestToken = () => randomBytes(32).toString('base64url');

/** Throws CUSTOMER_ERASED; UNAVAILABLE. */
export async function customerKey(seals: RowSeals, customerId: string): Promise<CartKey> {
  const seal = await seals(customerId);
  if (!seal) throw noCartOfErased(customerId);
  return { cartId: customerCartId(customerId), customerId, seal };
}

export function noCartOfErased(customerId: string): CaudalError {
  return refused('CUSTOMER_ERASED', `The customer "${customerId}" was erased, and has no cart any more.`);
}

export function guestKey(guestCartId: string, token: string): CartKey {
  // A UUID in capitals is the same id.
  const cartId = `g/${guestCartId.toLowerCase()}`;
  const key = Buffer.from(hkdfSync('sha256', token, '', 'caudal guest cart', 32));
  return { cartId, seal: sealWith(key, ['carts', cartId]), tokenHash: createHash('sha256').update(token).digest() };
}

/** Whether this is the key of the row with this hash. */
export function opensWith({ tokenHash }: CartKey, stored: Buffer | null): boolean {
  if (!tokenHash || !stored) return tokenHash === undefined && stored === null;
  return tokenHash.length === stored.length && timingSafeEqual(tokenHash, stored);
}

/** The same for a cart that does not exist and for a wrong token. */
export function noGuestCart(): CaudalError {
  return new CaudalError('NOT_FOUND', 'GUEST_CART_NOT_FOUND', "There is no guest's cart with this id and token.");
}
