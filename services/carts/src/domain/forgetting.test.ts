/** More removed lines than a cart remembers: no copy keeps one of them. */
import { addToLine, linesOf, removeLine } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { newReplica, pendingChanges, type Replica, rebased, received } from '@caudal/carts/replica.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { expect, test } from '@jest/globals';
import { answerTo, changedTo, newCart, sync } from './stored-cart.ts';

const now = new Date();

/** A server with copies that synchronise with it; all answers arrive. */
function open() {
  let stored = newCart();
  return {
    stored: () => stored,
    remove(key: string): void {
      stored = changedTo(stored, removeLine(stored.cart, key), now);
    },
    /** `isLost`: the answer does not arrive. */
    exchange(copy: Replica, { isLost = false, at = now.getTime() } = {}): Replica {
      const sent = decodeCart(encodeCart(pendingChanges(copy)));
      const { device, version: baseVersion, confirmed } = copy;
      const before = stored;
      stored = sync(
        stored,
        { device, baseVersion, confirmedChange: confirmed.seen.get(device) ?? 0, changes: sent },
        {},
        new Date(at),
      );
      const changes = decodeCart(encodeCart(answerTo(stored, baseVersion, before)));
      return isLost ? copy : received(copy, sent, { base: baseVersion, version: stored.version, changes });
    },
  };
}

function idAt(ms: number, n: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(n).padStart(12, '0')}`;
}

const names = (name: string, count: number) => Array.from({ length: count }, (_, n) => `${name}${n}`);
const withLines = (copy: Replica, keys: string[]): Replica => ({
  ...copy,
  cart: keys.reduce((cart, key) => addToLine(cart, key, 1, { device: copy.device, nowMs: now.getTime() }), copy.cart),
});
const withoutLines = (copy: Replica, keys: string[]): Replica => ({
  ...copy,
  cart: keys.reduce(removeLine, copy.cart),
});
const shown = ({ cart }: Replica) => linesOf(cart).map(({ key }) => key);

/** A laptop and a phone that both have 601 lines, of which the laptop has removed 600 and then 300 others, unseen by the phone. */
function withUnseenRemovals() {
  const server = open();
  let laptop = server.exchange(withLines(newReplica(newId()), [...names('A', 600), 'LAMP']));
  const phone = server.exchange(newReplica(newId()));
  laptop = server.exchange(withoutLines(laptop, names('A', 600)));
  laptop = server.exchange(withLines(laptop, names('B', 300)));
  laptop = server.exchange(withoutLines(laptop, names('B', 300)));
  // With 200 removals of its own there are too many.
  const changed = withLines(withoutLines(withLines(phone, names('C', 200)), names('C', 200)), ['LAMP', 'MUG']);
  return { server, laptop, phone: changed };
}

test('a sync with which removals are forgotten tells its copy of those that it has not seen', () => {
  const { server, ...copies } = withUnseenRemovals();
  expect(shown(copies.phone)).toHaveLength(602);
  let phone = server.exchange(copies.phone);
  expect(server.stored().forgottenUpTo).toBeGreaterThan(0);
  expect(server.stored().cart.lines.size).toBe(2);
  expect(shown(phone)).toEqual(['LAMP', 'MUG']);
  expect(phone.cart.lines.size).toBe(2);
  // It goes on as one that has seen all of it. Of the other one the server does not know whether it has the lines that are forgotten.
  phone = server.exchange(withLines(phone, ['A1']));
  expect(shown(phone)).toEqual(['A1', 'LAMP', 'MUG']);
  expect(() => server.exchange(copies.laptop)).toThrow(expect.objectContaining({ reason: 'CART_DEVICE_EXPIRED' }));
});

test('without that answer the copy begins anew, and adds nothing twice that had arrived', () => {
  const { server, phone } = withUnseenRemovals();
  const sent = withLines(phone, ['PEN']);
  // Before the next sync it adds another lamp, and somebody removes the pen.
  const later = withLines(server.exchange(sent, { isLost: true }), ['LAMP']);
  server.remove('PEN');
  expect(() => server.exchange(later)).toThrow(expect.objectContaining({ reason: 'CART_DEVICE_EXPIRED' }));
  const stored = server.stored();
  const whole = { version: stored.version, changes: answerTo(stored, 0, stored) };
  const anew = server.exchange(rebased(later, whole, newId(), now.getTime()));
  expect(linesOf(anew.cart)).toEqual([
    { key: 'LAMP', quantity: 3 },
    { key: 'MUG', quantity: 1 },
  ]);
  expect(linesOf(server.stored().cart)).toEqual(linesOf(anew.cart));
});

test('a copy forgets the devices that the server forgets, so that it can be read for years', () => {
  const dayMs = 86_400_000;
  const begin = now.getTime();
  const server = open();
  let copy = newReplica(idAt(begin, 0));
  for (let day = 1; day <= 300; day++) {
    const at = begin + day * dayMs;
    let visitor = withLines(newReplica(idAt(at, day)), [`A${day}`]);
    visitor = server.exchange(visitor, { at });
    server.exchange(withoutLines(visitor, [`A${day}`]), { at });
    copy = server.exchange(copy, { at });
  }
  expect(decodeCart(encodeCart(copy.cart)).seen.size).toBeLessThan(40);
  expect(decodeCart(encodeCart(copy.confirmed)).seen.size).toBeLessThan(40);
});
