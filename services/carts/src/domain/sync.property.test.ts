/** Devices that synchronise over a network that loses and repeats: no add is lost, no removal is undone, and nothing removed is kept. */
import { addToLine, type Cart, emptyCart, linesOf, removeLine } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { newReplica, pendingChanges, type Replica, rebased, received, unconfirmed } from '@caudal/carts/replica.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answerTo, changedTo, newCart, type StoredCart, serverDevice, sync } from './stored-cart.ts';

const numRuns = Number(process.env.CARTS_HISTORIES ?? 200);
const devices = 3;
const device = fc.nat({ max: devices - 1 });
const key = fc.constantFrom('A', 'B');
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('add' as const), device, key, pieces: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), device, key }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('sync' as const),
        device,
        fate: fc.constantFrom('arrives', 'lost', 'answer lost', 'arrives late'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('anew' as const), device }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('expire' as const), device }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('server' as const), key, pieces: fc.integer({ min: -1, max: 2 }) }),
    },
  ),
  { maxLength: 80, size: 'medium' },
);

interface Known {
  adds: Set<{ key: string; pieces: number }>;
  gone: Set<{ key: string; pieces: number }>;
}

const nothing = (): Known => ({ adds: new Set(), gone: new Set() });
const together = (a: Known, b: Known): Known => ({
  adds: new Set([...a.adds, ...b.adds]),
  gone: new Set([...a.gone, ...b.gone]),
});
const removeFrom = ({ adds, gone }: Known, of: string) => {
  for (const add of adds) if (add.key === of) gone.add(add);
};
const overWire = (cart: Cart) => decodeCart(encodeCart(cart));

function quantities({ adds, gone }: Known) {
  const sums: Record<string, number> = {};
  for (const add of adds) if (!gone.has(add)) sums[add.key] = (sums[add.key] ?? 0) + add.pieces;
  return sums;
}
const shown = (cart: Cart) => Object.fromEntries(linesOf(cart).map((line) => [line.key, line.quantity]));

test('any history: each copy and the server have what they know of, and no more', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const now = new Date();
      const by = (of: Replica) => ({ device: of.device, nowMs: now.getTime() });
      let stored: StoredCart = newCart();
      let server = nothing();
      const copies = Array.from({ length: devices }, () => newReplica(newId()));
      const known = Array.from({ length: devices }, nothing);
      let late: { device: string; arrive(): void }[] = [];

      const send = (n: number, fate: string) => {
        const copy = copies[n]!;
        const sent = overWire(pendingChanges(copy));
        const confirmedChange = copy.confirmed.seen.get(copy.device) ?? 0;
        const knew = together(known[n]!, nothing());
        const arrive = () => {
          const request = { device: copy.device, baseVersion: copy.version, changes: sent, confirmedChange };
          stored = sync(stored, request, {}, now);
          server = together(server, knew);
        };
        if (fate === 'lost') return;
        if (fate === 'arrives late') return void late.push({ device: copy.device, arrive });
        const before = stored;
        arrive();
        if (fate === 'answer lost') return;
        const changes = overWire(answerTo(stored, copy.version, before));
        copies[n] = received(copy, sent, { base: copy.version, version: stored.version, changes });
        known[n] = together(known[n]!, server);
      };

      for (const step of history) {
        if (step.kind === 'add') {
          const copy = copies[step.device]!;
          copies[step.device] = { ...copy, cart: addToLine(copy.cart, step.key, step.pieces, by(copy)) };
          known[step.device]!.adds.add({ key: step.key, pieces: step.pieces });
        } else if (step.kind === 'remove') {
          const copy = copies[step.device]!;
          copies[step.device] = { ...copy, cart: removeLine(copy.cart, step.key) };
          removeFrom(known[step.device]!, step.key);
        } else if (step.kind === 'anew') {
          copies[step.device] = unconfirmed(copies[step.device]!);
        } else if (step.kind === 'expire') {
          // The server has forgotten the copy, and refuses what of it is on its way still.
          const { device: former } = copies[step.device]!;
          stored = { ...stored, devices: new Map([...stored.devices].filter(([id]) => id !== former)) };
          late = late.filter((request) => request.device !== former);
          const device = newId();
          const ask = { device, baseVersion: 0, confirmedChange: 0, changes: emptyCart() };
          const before = stored;
          stored = sync(stored, ask, {}, now);
          const whole = { version: stored.version, changes: overWire(answerTo(stored, 0, before)) };
          copies[step.device] = rebased(copies[step.device]!, whole, device, now.getTime());
          known[step.device] = together(known[step.device]!, server);
        } else if (step.kind === 'server') {
          const cart =
            step.pieces > 0
              ? addToLine(stored.cart, step.key, step.pieces, { device: serverDevice, nowMs: now.getTime() })
              : removeLine(stored.cart, step.key);
          stored = changedTo(stored, cart, now);
          if (step.pieces > 0) server.adds.add({ key: step.key, pieces: step.pieces });
          else removeFrom(server, step.key);
        } else send(step.device, step.fate);
        expect(shown(stored.cart)).toEqual(quantities(server));
        copies.forEach((copy, n) => {
          expect(shown(copy.cart)).toEqual(quantities(known[n]!));
        });
      }
      for (let round = 0; round < 3; round++) for (let n = 0; n < devices; n++) send(n, 'arrives');
      const everything = quantities(server);
      expect(shown(stored.cart)).toEqual(everything);
      for (const copy of copies) {
        expect(shown(copy.cart)).toEqual(everything);
        expect(linesOf(copy.cart)).toHaveLength(copy.cart.lines.size);
      }
      expect(stored.cart.lines.size).toBe(Object.keys(everything).length);
      // A request that was long on its way changes nothing, or is refused because its copy has gone on.
      for (const { arrive } of late) {
        try {
          arrive();
        } catch (error) {
          expect(error).toMatchObject({ reason: 'CART_DEVICE_EXPIRED' });
        }
      }
      expect(shown(stored.cart)).toEqual(everything);
    }),
    { numRuns },
  );
});

test('an answer that a later one has overtaken takes no line away, and brings none back', () => {
  const now = new Date();
  const by = (of: Replica) => ({ device: of.device, nowMs: now.getTime() });
  let stored = newCart();
  const ask = (copy: Replica) => {
    const sent = overWire(pendingChanges(copy));
    const confirmedChange = copy.confirmed.seen.get(copy.device) ?? 0;
    const before = stored;
    stored = sync(stored, { device: copy.device, baseVersion: copy.version, confirmedChange, changes: sent }, {}, now);
    const changes = overWire(answerTo(stored, copy.version, before));
    const answer = { base: copy.version, version: stored.version, changes };
    return (later: Replica) => received(later, sent, answer);
  };
  let phone = newReplica(newId());
  phone = { ...phone, cart: addToLine(phone.cart, 'A', 1, by(phone)) };
  const first = ask(phone);
  let laptop = newReplica(newId());
  laptop = ask(laptop)(laptop);
  laptop = { ...laptop, cart: addToLine(removeLine(laptop.cart, 'A'), 'B', 1, by(laptop)) };
  laptop = ask(laptop)(laptop);
  phone = ask(phone)(phone);
  expect(shown(phone.cart)).toEqual({ B: 1 });
  phone = first(phone);
  expect(shown(phone.cart)).toEqual({ B: 1 });
  phone = ask(phone)(phone);
  laptop = ask(laptop)(laptop);
  phone = first(ask(phone)(phone));
  expect([shown(phone.cart), phone.cart.lines.size, phone.confirmed.lines.size]).toEqual([{ B: 1 }, 1, 1]);
  expect(shown(stored.cart)).toEqual({ B: 1 });
});

test('a copy that is too old is refused, begins anew, and loses nothing that it has not sent', () => {
  const begin = new Date('2026-01-01T00:00:00Z');
  const later = new Date('2026-03-01T00:00:00Z');
  const by = (of: Replica) => ({ device: of.device, nowMs: begin.getTime() });
  const idAt = (time: Date, n: number) => {
    const hex = time.getTime().toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-00000000000${n}`;
  };
  const syncOf = (copy: Replica, changes: Cart) => ({
    device: copy.device,
    baseVersion: copy.version,
    confirmedChange: copy.confirmed.seen.get(copy.device) ?? 0,
    changes,
  });
  let old = newReplica(idAt(begin, 1));
  old = { ...old, cart: addToLine(addToLine(old.cart, 'A', 2, by(old)), 'B', 1, by(old)) };
  const sent = pendingChanges(old);
  let stored = sync(newCart(), syncOf(old, sent), {}, begin);
  old = received(old, sent, { base: 0, version: stored.version, changes: answerTo(stored, 0, newCart()) });
  // Offline: one more of A, and B is removed. Meanwhile another device removes A, and the month passes.
  old = { ...old, cart: removeLine(addToLine(old.cart, 'A', 1, by(old)), 'B') };
  const other = newReplica(idAt(later, 2));
  stored = sync(stored, syncOf(other, other.cart), {}, later);
  stored = changedTo(stored, removeLine(stored.cart, 'A'), later);
  stored = sync(stored, { ...syncOf(other, other.cart), baseVersion: stored.version }, {}, later);
  expect(stored.cart.lines.has('A')).toBe(false);
  expect(() => sync(stored, syncOf(old, pendingChanges(old)), {}, later)).toThrow(
    expect.objectContaining({ reason: 'CART_DEVICE_EXPIRED' }),
  );
  const anew = rebased(
    old,
    { version: stored.version, changes: answerTo(stored, 0, stored) },
    idAt(later, 3),
    later.getTime(),
  );
  stored = sync(stored, syncOf(anew, pendingChanges(anew)), {}, later);
  expect(shown(stored.cart)).toEqual({ A: 1 });
});

test('a clock that is ahead, unknown fields, impossible numbers, and lost changes are refused', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  const copy = newReplica(newId());
  const ahead = addToLine(copy.cart, 'A', 1, { device: copy.device, nowMs: now.getTime() + 120_000 });
  const request = { device: copy.device, baseVersion: 0, confirmedChange: 0, changes: ahead };
  expect(() => sync(newCart(), request, {}, now)).toThrow(expect.objectContaining({ reason: 'CART_CLOCK_AHEAD' }));
  const field = { strategy: 'sum' as const, state: [] };
  const changes = { ...copy.cart, fields: new Map([['points', field]]) };
  expect(() => sync(newCart(), { ...request, changes }, {}, now)).toThrow('CARTS_FIELDS');
  expect(() => sync(newCart(), { ...request, changes: copy.cart, confirmedChange: 3 }, {}, now)).toThrow(
    expect.objectContaining({ reason: 'CART_CHANGES_LOST' }),
  );
  const much = { seq: 2, total: 1e13, at: 0, removedSeq: 1, removedTotal: 0 };
  const wrong = {
    ...copy.cart,
    seen: new Map([[copy.device, 2]]),
    lines: new Map([['A', new Map([[copy.device, much]])]]),
  };
  expect(() => sync(newCart(), { ...request, changes: wrong }, {}, now)).toThrow('numbers that no device makes');
});

test('what a device says of others beyond what the cart knows counts for nothing', () => {
  const now = new Date();
  const [own, foreign] = [newReplica(newId()), newReplica(newId())];
  const forged = addToLine(own.cart, 'A', 7, { device: foreign.device, nowMs: now.getTime() });
  const request = { device: own.device, baseVersion: 0, confirmedChange: 0, changes: forged };
  const stored = sync(newCart(), request, {}, now);
  expect([stored.cart.lines.size, stored.cart.seen.size]).toEqual([0, 0]);
});
