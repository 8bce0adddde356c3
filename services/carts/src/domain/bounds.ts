/** What a cart may hold: little enough to merge at once, and to be read again once it is stored. */
import { type Cart, linesOf } from '@caudal/carts/cart.ts';
import { encodeCart, isReadable, maxBytes, maxFieldLength, maxFields } from '@caudal/carts/encoding.ts';
import { strategies } from '@caudal/carts/fields.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

const mostLines = 1_000;
const mostEntries = 8_000;
const mostSeen = 200;
/** Less than decodeCart reads: a checkout that has placed its order can't be refused any more, and marks lines as removed. */
const mostKibibytes = (0.75 * maxBytes) / 1024;
/** The most bytes of an entry of a device, of a line beside its key, and of a device. */
const entryBytes = 50;
const lineBytes = 4;
const deviceBytes = 24;

/** Throws CART_FULL. */
export function assertBounds(cart: Cart): void {
  if (linesOf(cart).length > mostLines) throw full(`${mostLines} lines`);
  if (cart.seen.size > mostSeen) throw full(`${mostSeen} devices`);
  if (cart.fields.size > maxFields) throw full(`${maxFields} fields`);
  let entries = 0;
  let bytes = cart.seen.size * deviceBytes;
  for (const [key, line] of cart.lines) {
    for (const entry of line.values()) if (!isReadable(entry)) throw full('can be counted');
    entries += line.size;
    bytes += key.length + lineBytes + line.size * entryBytes;
  }
  if (entries > mostEntries) throw full(`${mostEntries} entries of devices in its lines`);
  for (const [name, { strategy, state }] of cart.fields) {
    const length = Buffer.byteLength(JSON.stringify(state));
    if (length > maxFieldLength || !strategies[strategy].isState(state)) throw full(`fits into the field "${name}"`);
    bytes += length + 200;
  }
  // To encode it shows how many there are, and is only worth its time where they may be too many.
  const most = mostKibibytes * 1024;
  if (bytes > most && encodeCart(cart).length > most) throw full(`${mostKibibytes} KiB`);
}

function full(bound: string): CaudalError {
  return new CaudalError('RESOURCE_EXHAUSTED', 'CART_FULL', `The cart would have more than ${bound}.`);
}
