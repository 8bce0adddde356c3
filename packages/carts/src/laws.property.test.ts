/** The laws of merging, for carts and every strategy: any devices, orders and repeats lead to one cart, and no add is lost. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addToLine, type Cart, emptyCart, linesOf, merge, quantityOf, removeLine } from './cart.ts';
import { decodeCart, encodeCart } from './encoding.ts';
import { strategies } from './fields.ts';
import { deviceOf, devices, play, type Step } from './testing/histories.ts';

const numRuns = Number(process.env.CARTS_HISTORIES ?? 300);
const hex = (cart: Cart) => Buffer.from(encodeCart(cart)).toString('hex');
const device = fc.nat({ max: devices - 1 });
const key = fc.constantFrom('A', 'B', 'C');
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('add'), device, key, pieces: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove'), device, key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('receive'), device, from: device }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      device,
      name: fc.constantFrom(...Object.keys(strategies)),
      value: fc.nat({ max: 9 }),
      nowMs: fc.nat({ max: 5 }),
    }),
  },
) as fc.Arbitrary<Step>;

/** An add, and the removals that have seen it. */
interface Added {
  key: string;
  pieces: number;
}

/** What a device knows, as sets: slow and plainly right. */
interface Model {
  adds: Set<Added>;
  gone: Set<Added>;
}

function run(steps: Step[]) {
  const models: Model[] = Array.from({ length: devices }, () => ({ adds: new Set(), gone: new Set() }));
  for (const each of steps) {
    const model = models[each.device]!;
    if (each.kind === 'add') model.adds.add({ key: each.key, pieces: each.pieces });
    else if (each.kind === 'remove') {
      for (const add of model.adds) if (add.key === each.key) model.gone.add(add);
    } else if (each.kind === 'receive') {
      const other = models[each.from]!;
      models[each.device] = { adds: union(model.adds, other.adds), gone: union(model.gone, other.gone) };
    }
  }
  return { carts: play(steps), models };
}

const union = <T>(a: Set<T>, b: Set<T>) => new Set([...a, ...b]);

function quantitiesOf({ adds, gone }: Model) {
  const sums = new Map<string, number>();
  for (const add of adds) if (!gone.has(add)) sums.set(add.key, (sums.get(add.key) ?? 0) + add.pieces);
  return [...sums].map(([of, quantity]) => ({ key: of, quantity })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

const history = fc.array(step, { maxLength: 60 });

describe('any histories of four devices', () => {
  test('each device has what it has seen added, less what it has seen removed', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const { carts, models } = run(steps);
        carts.forEach((cart, n) => {
          expect(linesOf(cart)).toEqual(quantitiesOf(models[n]!));
        });
      }),
      { numRuns },
    );
  });

  test('all of them merge to one cart in any order, and repeats change nothing', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 0, 2], { minLength: 6 });
    fc.assert(
      fc.property(history, order, (steps, places) => {
        const { carts, models } = run(steps);
        const all = carts.reduce(merge);
        expect(hex(places.map((place) => carts[place]!).reduce(merge))).toBe(hex(all));
        expect(hex(merge(all, carts[1]!))).toBe(hex(all));
        const [a, b, c] = carts as [Cart, Cart, Cart];
        expect(hex(merge(merge(a, b), c))).toBe(hex(merge(a, merge(b, c))));
        expect(hex(merge(a, b))).toBe(hex(merge(b, a)));
        const everything = models.reduce((one, other) => ({
          adds: union(one.adds, other.adds),
          gone: union(one.gone, other.gone),
        }));
        expect(linesOf(all)).toEqual(quantitiesOf(everything));
      }),
      { numRuns },
    );
  });

  test('a cart comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const all = run(steps).carts.reduce(merge);
        expect(hex(decodeCart(encodeCart(all)))).toBe(hex(all));
      }),
      { numRuns },
    );
  });
});

test.each(Object.keys(strategies))('the merge of %s is commutative, associative and idempotent', (name) => {
  const strategy = strategies[name as keyof typeof strategies];
  fc.assert(
    fc.property(history, (steps) => {
      const states = run(
        steps.map((each) =>
          each.kind === 'add' ? { ...each, kind: 'write', name, value: each.pieces, nowMs: 1 } : each,
        ),
      )
        .carts.flatMap(({ fields }) => fields.get(name) ?? [])
        .map(({ state }) => state);
      for (const a of states)
        for (const b of states) {
          expect(strategy.merge(a, b)).toEqual(strategy.merge(b, a));
          expect(strategy.merge(a, a)).toEqual(a);
          expect(strategy.isState(a)).toBe(true);
          for (const c of states)
            expect(strategy.merge(strategy.merge(a, b), c)).toEqual(strategy.merge(a, strategy.merge(b, c)));
        }
    }),
    { numRuns: numRuns / 3 },
  );
});

test('a device that takes pieces away twice is not below none: what is added then is there', () => {
  const by = (n: number) => ({ device: deviceOf(n), nowMs: n });
  const start = addToLine(emptyCart(), 'A', 5, by(0));
  const both = merge(addToLine(start, 'A', -4, by(1)), addToLine(start, 'A', -4, by(2)));
  expect(linesOf(both)).toEqual([]);
  expect(quantityOf(addToLine(both, 'A', 1, by(3)).lines.get('A'))).toBe(1);
});

test('to take the last piece away is a removal: a piece that others add at the same time stays', () => {
  const by = (n: number) => ({ device: deviceOf(n), nowMs: n });
  const start = addToLine(emptyCart(), 'A', 1, by(0));
  const takers = [0, 1].map((n) => addToLine(start, 'A', -1, by(n)));
  const all = [...takers, addToLine(start, 'A', 1, by(2))].reduce(merge);
  expect(linesOf(all)).toEqual([{ key: 'A', quantity: 1 }]);
  expect(addToLine(emptyCart(), 'A', -1, by(0))).toEqual(emptyCart());
});

test('10,000 changes stay under 20 kB', () => {
  let cart = emptyCart();
  for (let n = 0; n < 10_000; n++) {
    const item = `PRODUCT-${n % 250}`;
    const by = { device: deviceOf(n % 5), nowMs: 1_790_000_000_000 + n * 1_000 };
    cart = n % 7 === 0 ? removeLine(cart, item) : addToLine(cart, item, 1, by);
  }
  expect(encodeCart(cart).length).toBeLessThan(20_000);
});
