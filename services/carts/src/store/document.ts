/** The content of a cart's row: a length, a JSON document, and the cart as its devices encode it. */
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import type { StoredCart } from '../domain/stored-cart.ts';

type Header = Omit<StoredCart, 'cart' | 'devices' | 'changed' | 'prices'> & {
  devices: [string, StoredCart['devices'] extends Map<string, infer D> ? D : never][];
  changed: [string, number][];
  prices: [string, { minorUnits: string; currency: string }][];
};

export function encodeStored({ cart, devices, changed, prices, ...rest }: StoredCart): Buffer {
  const header: Header = { ...rest, devices: [...devices], changed: [...changed], prices: [...prices] };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, encodeCart(cart)]);
}

export function decodeStored(bytes: Uint8Array): StoredCart {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = 4 + buffer.readUInt32BE(0);
  const { devices, changed, prices, ...rest } = JSON.parse(buffer.toString('utf8', 4, end)) as Header;
  return {
    ...rest,
    cart: decodeCart(buffer.subarray(end)),
    ...{ devices: new Map(devices), changed: new Map(changed), prices: new Map(prices) },
  };
}
