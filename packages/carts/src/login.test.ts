import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addToLine, type Cart, emptyCart, linesOf, merge, removeLine } from './cart.ts';
import { type LoginRule, mergeOnLogin } from './login.ts';

const rules: LoginRule[] = ['sum', 'max', 'keep_mine', 'keep_theirs'];
const deviceOf = (n: number) => `00000000-0000-7000-8000-00000000000${n}`;
const by = (n: number) => ({ device: deviceOf(n), nowMs: n });
const quantities = (cart: Cart) => Object.fromEntries(linesOf(cart).map(({ key, quantity }) => [key, quantity]));

describe('a line of which two devices have taken away the same pieces', () => {
  const five = addToLine(emptyCart(), 'A', 5, by(0));
  const short = merge(addToLine(five, 'A', -4, by(1)), addToLine(five, 'A', -4, by(2)));
  const other = addToLine(emptyCart(), 'A', 5, by(3));

  test.each(rules)('has exactly the pieces of the other cart after a login: %s', (rule) => {
    expect(quantities(short)).toEqual({});
    expect(quantities(mergeOnLogin(short, other, rule, by(4)))).toEqual({ A: 5 });
    expect(quantities(mergeOnLogin(other, short, rule, by(4)))).toEqual({ A: 5 });
  });

  test('gets what one of the devices has added meanwhile', () => {
    const later = addToLine(addToLine(five, 'A', -4, by(1)), 'A', 2, by(1));
    expect(quantities(merge(mergeOnLogin(short, other, 'sum', by(4)), later))).toEqual({ A: 7 });
  });
});

test('any histories: lines that only one of the carts has stay, of those in both the rule decides', () => {
  const step = fc.record({
    device: fc.nat({ max: 3 }),
    key: fc.constantFrom('A', 'B'),
    kind: fc.constantFrom('change', 'change', 'change', 'receive', 'receive', 'remove'),
    pieces: fc.constantFrom(-4, -3, 1, 4),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), fc.constantFrom(...rules), (steps, rule) => {
      const carts = Array.from({ length: 4 }, emptyCart);
      for (const { device, key, kind, pieces } of steps) {
        const cart = carts[device]!;
        if (kind === 'remove') carts[device] = removeLine(cart, key);
        // The customer has the devices 0 and 1, the guest 2 and 3.
        else if (kind === 'receive') carts[device] = merge(cart, carts[device ^ 1]!);
        else carts[device] = addToLine(cart, key, pieces, by(device));
      }
      const [mine, guests] = [merge(carts[0]!, carts[1]!), merge(carts[2]!, carts[3]!)];
      const [own, theirs] = [quantities(mine), quantities(guests)];
      const expected = { ...own, ...theirs };
      for (const [key, quantity] of Object.entries(own)) {
        const other = theirs[key];
        if (other === undefined || rule === 'keep_mine') expected[key] = quantity;
        else if (rule === 'sum') expected[key] = quantity + other;
        else if (rule === 'max') expected[key] = Math.max(quantity, other);
      }
      expect(quantities(mergeOnLogin(mine, guests, rule, by(4)))).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});
