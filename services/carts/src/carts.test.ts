/** Carts of customers and guests on a real PostgreSQL. */
import { addToLine, emptyCart, linesOf, removeLine } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { newReplica, pendingChanges, type Replica, rebased, received, unconfirmed } from '@caudal/carts/replica.ts';
import {
  AddToCartRequest,
  CartLineProblem,
  CartView,
  LoginRule,
  SetCartFieldRequest,
  SetCartQuantityRequest,
  SyncCartRequest,
  type SyncCartResponse,
} from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deleteCart, lockId } from './store/cart-rows.ts';
import { type CartWorld, cartWorld } from './testing/world.ts';

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
const cartOf = (text: string) => decodeCart(Buffer.from(text, 'base64url'));

describeWith(['postgres'], 'carts', () => {
  let world: CartWorld;
  beforeAll(async () => {
    world = await cartWorld();
  }, 60_000);
  afterAll(() => world?.drop());

  const add = (customerId: string, productId: string, quantity: number, requestId?: string, carts = world.carts) =>
    carts.addToCart(
      AddToCartRequest.fromPartial({ customerId, productId, quantity: BigInt(quantity) }),
      testCall({ requestId, content: `${productId} ${quantity}` }),
    );
  const get = (customerId: string, view: CartView = CartView.CART_VIEW_BASIC) =>
    world.queries.getCart({ customerId, view, readMask: undefined }, testCall());
  const quantitiesOf = async (customerId: string) =>
    Object.fromEntries((await get(customerId)).lines.map((line) => [line.productId, Number(line.quantity)]));

  const request = (copy: Replica, changes = pendingChanges(copy)) => ({
    deviceId: copy.device,
    cartUid: copy.cartUid,
    baseVersion: BigInt(copy.version),
    confirmedChange: BigInt(copy.confirmed.seen.get(copy.device) ?? 0),
    changes: textOf(encodeCart(changes)),
  });
  const answerOf = ({ cartUid, version, changes }: SyncCartResponse) => ({
    ...{ cartUid, version: Number(version), changes: cartOf(changes) },
  });
  async function synced(copy: Replica, customerId: string, carts = world.carts): Promise<Replica> {
    const sent = pendingChanges(copy);
    const answer = await carts.syncCart(
      SyncCartRequest.fromPartial({ customerId, ...request(copy, sent) }),
      testCall(),
    );
    return received(copy, sent, {
      base: copy.version,
      ...answerOf(answer),
    });
  }
  const adding = (copy: Replica, productId: string, pieces: number): Replica => ({
    ...copy,
    cart: addToLine(copy.cart, productId, pieces, { device: copy.device, nowMs: Date.now() }),
  });

  test('two devices and a caller without a copy come to one cart, with every byte the same', async () => {
    let phone = adding(newReplica(newId()), 'MUG', 2);
    let laptop = adding(newReplica(newId()), 'MUG', 3);
    await add('ada', 'TEA', 1);
    phone = await synced(phone, 'ada');
    laptop = await synced(laptop, 'ada');
    phone = await synced(phone, 'ada');
    expect(await quantitiesOf('ada')).toEqual({ MUG: 5, TEA: 1 });
    expect(textOf(encodeCart(phone.cart))).toBe(textOf(encodeCart(laptop.cart)));
  });

  test('a repeat with the same request id adds nothing, and with another content is refused', async () => {
    const requestId = newId();
    await add('bob', 'MUG', 2, requestId);
    await add('bob', 'MUG', 2, requestId);
    expect(await quantitiesOf('bob')).toEqual({ MUG: 2 });
    expect(await refusalOf(add('bob', 'MUG', 3, requestId))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });

  test('1,000 adds of 50 devices and two processes at the same time: none is lost', async () => {
    const other = world.otherProcess();
    const copies = Array.from({ length: 50 }, () => newReplica(newId()));
    await Promise.all(
      copies.map(async (begun, n) => {
        let copy = begun;
        for (let round = 0; round < 10; round++) {
          copy = await synced(adding(copy, 'MUG', 1), 'eve', n % 2 ? other : world.carts);
          await add('eve', 'TEA', 1, newId(), n % 2 ? world.carts : other);
        }
      }),
    );
    expect(await quantitiesOf('eve')).toEqual({ MUG: 500, TEA: 500 });
  }, 60_000);

  test('a cart that was deleted and made anew shows an old copy all of it', async () => {
    await add('sue', 'MUG', 1);
    const reader = await synced(newReplica(newId()), 'sue');
    await world.database.query({ text: "DELETE FROM carts WHERE cart_id = 'c/sue'" });
    for (const product of ['TEA', 'POT']) await add('sue', product, 1);
    expect(await refusalOf(synced(reader, 'sue'))).toMatchObject({ reason: 'CART_DEVICE_EXPIRED' });
    const old = SyncCartRequest.fromPartial({ customerId: 'sue', ...request(reader), cartUid: '' });
    // One that does not say which cart it is of is judged by its version alone.
    expect(linesOf(cartOf((await world.carts.syncCart(old, testCall())).changes))).toHaveLength(1);
  });

  test('quantities and fields are set, and what is wrong is refused with the field', async () => {
    await add('fay', 'MUG', 2);
    const set = (quantity: bigint) =>
      world.carts.setCartQuantity(
        SetCartQuantityRequest.fromPartial({ customerId: 'fay', productId: 'MUG', quantity }),
        testCall(),
      );
    expect((await set(7n)).lines).toMatchObject([{ productId: 'MUG', quantity: 7n }]);
    expect((await set(0n)).lines).toEqual([]);
    const field = (name: string, value: string) =>
      world.carts.setCartField(SetCartFieldRequest.fromPartial({ customerId: 'fay', name, value }), testCall());
    await field('coupon', 'TEN');
    expect((await field('labels', 'gift')).fields).toMatchObject([
      { name: 'coupon', values: ['TEN'] },
      { name: 'labels', values: ['gift'] },
    ]);
    await expect(field('colour', 'red')).rejects.toMatchObject({
      reason: 'CART_FIELD_UNKNOWN',
      violations: [{ field: 'name' }],
    });
    await expect(field('labels', 'x'.repeat(101))).rejects.toMatchObject({
      reason: 'CART_VALUE_INVALID',
      violations: [{ field: 'value' }],
    });
    const broken = SyncCartRequest.fromPartial({ customerId: 'fay', deviceId: newId(), changes: 'AAAA' });
    await expect(world.carts.syncCart(broken, testCall())).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [{ field: 'changes' }],
    });
  });

  test('the cart explains itself: which device added what, and what has changed under it', async () => {
    world.sell('CUP');
    world.sell('POT', { available: 1n });
    await add('gus', 'CUP', 1);
    await add('gus', 'POT', 2);
    const phone = await synced(adding(newReplica(newId()), 'CUP', 2), 'gus');
    world.sell('CUP', { price: { minorUnits: 700n, currency: 'GBP' } });
    world.pass(10_000);
    const { lines } = await get('gus', CartView.CART_VIEW_EXPLAINED);
    expect(lines).toMatchObject([
      {
        productId: 'CUP',
        quantity: 3n,
        unitPrice: { minorUnits: 700n },
        firstUnitPrice: { minorUnits: 650n },
        problems: [CartLineProblem.CART_LINE_PROBLEM_PRICE_CHANGED],
        contributions: [
          { deviceId: 'server', quantity: 1n, rule: 'sum of devices' },
          { deviceId: phone.device, quantity: 2n, rule: 'sum of devices' },
        ],
      },
      { productId: 'POT', problems: [CartLineProblem.CART_LINE_PROBLEM_OUT_OF_STOCK] },
    ]);
  });

  test('a cart is made for registered customers only, and they are asked for once', async () => {
    world.strangers.add('nobody');
    const unknown = { code: 'NOT_FOUND', reason: 'CUSTOMER_NOT_FOUND' };
    expect(await refusalOf(add('nobody', 'MUG', 1))).toEqual(unknown);
    expect(await refusalOf(get('nobody'))).toEqual(unknown);
    expect(await refusalOf(synced(adding(newReplica(newId()), 'MUG', 1), 'nobody'))).toEqual(unknown);
    const rows = await world.database.query({ text: "SELECT FROM carts WHERE cart_id = 'c/nobody'" });
    expect(rows).toHaveLength(0);
    expect((await get('ned')).lines).toEqual([]);
    const before = world.asked.length;
    for (let n = 0; n < 3; n++) await add('ned', 'MUG', 1);
    await synced(adding(newReplica(newId()), 'MUG', 1), 'ned');
    expect(await quantitiesOf('ned')).toEqual({ MUG: 4 });
    expect(world.asked.slice(before)).toEqual(['ned']);
  });

  test('nothing of a cart is readable in its row', async () => {
    await add('hal', 'SECRET-PRODUCT', 1);
    const [row] = await world.database.query<{ content: Buffer }>({
      text: "SELECT content FROM carts WHERE cart_id = 'c/hal'",
    });
    expect(row!.content.toString('latin1')).not.toContain('SECRET-PRODUCT');
    world.erased.add('hal');
    expect(await refusalOf(get('hal'))).toMatchObject({ reason: 'CUSTOMER_ERASED' });
  });

  test('no row is made for an erased customer, though a process has the key still and views lag', async () => {
    await world.database.query({ text: "SELECT end_person_key('una')" });
    const erased = { code: 'FAILED_PRECONDITION', reason: 'CUSTOMER_ERASED' };
    expect(await refusalOf(add('una', 'MUG', 1))).toEqual(erased);
    expect(await refusalOf(synced(adding(newReplica(newId()), 'MUG', 1), 'una'))).toEqual(erased);
    const guest = await world.guests.createGuestCart({}, testCall());
    const login = { customerId: 'una', ...guest, rule: LoginRule.LOGIN_RULE_SUM };
    expect(await refusalOf(world.carts.mergeGuestCart(login, testCall()))).toEqual(erased);
    expect(await world.database.query({ text: "SELECT FROM carts WHERE cart_id = 'c/una'" })).toHaveLength(0);
  });

  test('a row that is being made while the customer is erased is deleted', async () => {
    const cartId = 'c/uma';
    const other = world.fresh.open().database;
    const { deleting } = await world.database.transaction(async (tx) => {
      await lockId(tx, cartId);
      await tx.query({
        text: `INSERT INTO carts (cart_id, version, content, lines, may_remind, checking_out, changed_at)
          VALUES ($1, 1, '', 1, false, false, now())`,
        values: [cartId],
      });
      const begun = deleteCart(other, cartId);
      const isWaiting = async () => {
        const text =
          "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        return (await other.query({ text })).length > 0;
      };
      await Promise.race([begun, until(isWaiting)]);
      return { deleting: begun };
    });
    await deleting;
    expect(await world.database.query({ text: 'SELECT FROM carts WHERE cart_id = $1', values: [cartId] })).toHaveLength(
      0,
    );
  });

  describe('a guest', () => {
    const guestWith = async (pieces: Record<string, number>) => {
      const guest = await world.guests.createGuestCart({}, testCall());
      let cart = emptyCart();
      const device = newId();
      for (const [productId, quantity] of Object.entries(pieces))
        cart = addToLine(cart, productId, quantity, { device, nowMs: Date.now() });
      const sent = {
        deviceId: device,
        cartUid: '',
        baseVersion: 0n,
        confirmedChange: 0n,
        changes: textOf(encodeCart(cart)),
      };
      await world.guests.syncGuestCart({ ...guest, ...sent }, testCall());
      return guest;
    };
    const merge = (customerId: string, guest: { guestCartId: string; guestToken: string }, rule: LoginRule) =>
      world.carts.mergeGuestCart({ customerId, ...guest, rule }, testCall());
    const ask = (guest: { guestCartId: string; guestToken: string }) =>
      world.guests.syncGuestCart(
        { ...guest, deviceId: newId(), cartUid: '', baseVersion: 0n, confirmedChange: 0n, changes: '' },
        testCall(),
      );

    test('asks the catalogue of few products that are new in its cart, and of none again', async () => {
      const guest = await world.guests.createGuestCart({}, testCall());
      const deviceId = newId();
      const products = Array.from({ length: 200 }, (_, n) => `NONE-${n}`);
      const by = { device: deviceId, nowMs: Date.now() };
      const cart = products.reduce((before, product) => addToLine(before, product, 1, by), emptyCart());
      const send = () => {
        const sent = { deviceId, cartUid: '', baseVersion: 0n, confirmedChange: 0n, changes: textOf(encodeCart(cart)) };
        return world.guests.syncGuestCart({ ...guest, ...sent }, testCall());
      };
      const before = world.lookedUp.length;
      await send();
      expect(world.lookedUp.length - before).toBe(50);
      world.pass(10_000);
      await send();
      expect(world.lookedUp.length - before).toBe(50);
    });

    test('has a cart that only its token opens', async () => {
      const guest = await guestWith({ MUG: 1 });
      const other = await guestWith({ TEA: 1 });
      expect(linesOf(cartOf((await ask(guest)).changes))).toEqual([{ key: 'MUG', quantity: 1 }]);
      const wrong = { guestCartId: guest.guestCartId, guestToken: other.guestToken };
      expect(await refusalOf(ask(wrong))).toEqual({ code: 'NOT_FOUND', reason: 'GUEST_CART_NOT_FOUND' });
      expect(await refusalOf(ask({ ...guest, guestCartId: newId() }))).toMatchObject({ code: 'NOT_FOUND' });
      expect(await refusalOf(merge('mallory', wrong, LoginRule.LOGIN_RULE_SUM))).toMatchObject({
        reason: 'GUEST_CART_NOT_FOUND',
      });
      const together = await Promise.allSettled([ask(wrong), ask(guest), ask(wrong)]);
      expect(together.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    });

    test.each([
      ['sum', LoginRule.LOGIN_RULE_SUM, 7],
      ['max', LoginRule.LOGIN_RULE_MAX, 5],
      ['keep mine', LoginRule.LOGIN_RULE_KEEP_MINE, 2],
      ['keep theirs', LoginRule.LOGIN_RULE_KEEP_THEIRS, 5],
    ])('logs in with the rule "%s", once, and lines of one cart stay', async (name, rule, expected) => {
      const customerId = `ida ${name}`.replaceAll(' ', '-');
      await add(customerId, 'MUG', 2);
      await add(customerId, 'MINE', 1);
      const guest = await guestWith({ MUG: 5, THEIRS: 3 });
      await merge(customerId, guest, rule);
      await merge(customerId, guest, rule);
      expect(await quantitiesOf(customerId)).toEqual({ MUG: expected, MINE: 1, THEIRS: 3 });
      expect(await refusalOf(ask(guest))).toMatchObject({ reason: 'GUEST_CART_MERGED' });
    });

    test('that logs in as nobody who is registered keeps its cart', async () => {
      world.strangers.add('oda');
      const guest = await guestWith({ MUG: 5 });
      expect(await refusalOf(merge('oda', guest, LoginRule.LOGIN_RULE_SUM))).toMatchObject({
        reason: 'CUSTOMER_NOT_FOUND',
      });
      expect(linesOf(cartOf((await ask(guest)).changes))).toEqual([{ key: 'MUG', quantity: 5 }]);
    });

    test('is asked where both have a line, and nothing changes until it has answered', async () => {
      await add('jan', 'MUG', 2);
      const guest = await guestWith({ MUG: 5, TEA: 1 });
      const { conflicts } = await merge('jan', guest, LoginRule.LOGIN_RULE_ASK);
      expect(conflicts).toMatchObject([{ productId: 'MUG', mine: 2n, theirs: 5n }]);
      expect(await quantitiesOf('jan')).toEqual({ MUG: 2 });
      await merge('jan', guest, LoginRule.LOGIN_RULE_MAX);
      expect(await quantitiesOf('jan')).toEqual({ MUG: 5, TEA: 1 });
    });

    test('of another buyer on the same device cannot take what the first one has brought', async () => {
      const guest = await guestWith({ MUG: 5 });
      const logins = await Promise.allSettled([
        merge('kim', guest, LoginRule.LOGIN_RULE_SUM),
        merge('leo', guest, LoginRule.LOGIN_RULE_SUM),
      ]);
      expect(logins.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const pieces = [await quantitiesOf('kim'), await quantitiesOf('leo')];
      expect(pieces.filter(({ MUG }) => MUG === 5)).toHaveLength(1);
      expect(pieces.filter(({ MUG }) => MUG === undefined)).toHaveLength(1);
    });

    /** A guest's cart with the copy that has made it. */
    async function guestOf(begun: Replica) {
      const guest = await world.guests.createGuestCart({}, testCall());
      const sent = pendingChanges(begun);
      const answer = await world.guests.syncGuestCart({ ...guest, ...request(begun, sent) }, testCall());
      return { guest, copy: received(begun, sent, { base: begun.version, ...answerOf(answer) }) };
    }
    /** What a browser's copy does: it begins anew if that is asked for. */
    async function goesOn(copy: Replica, customerId: string): Promise<Replica> {
      const refusal = await refusalOf(synced(copy, customerId));
      expect(refusal).toEqual({ code: 'FAILED_PRECONDITION', reason: 'CART_DEVICE_EXPIRED' });
      const begun = newReplica(newId());
      const answer = await world.carts.syncCart(
        SyncCartRequest.fromPartial({ customerId, ...request(begun) }),
        testCall(),
      );
      return synced(rebased(copy, answerOf(answer), begun.device, Date.now()), customerId);
    }
    const removing = (copy: Replica, key: string): Replica => ({ ...copy, cart: removeLine(copy.cart, key) });
    const shown = ({ cart }: Replica) => Object.fromEntries(linesOf(cart).map(({ key, quantity }) => [key, quantity]));
    /** Removes a line of the customer's cart on a device that confirms it. */
    async function removedBy(laptop: Replica, customerId: string, key: string): Promise<void> {
      let copy = await synced(laptop, customerId);
      copy = await synced(removing(copy, key), customerId);
      await synced(copy, customerId);
    }
    /** The id of a copy that expires in two minutes, unless it is there until then. */
    const oldId = () => {
      const hex = (world.clock().getTime() - 30 * 86_400_000 + 60_000).toString(16).padStart(12, '0');
      return `${hex.slice(0, 8)}-${hex.slice(8)}${newId().slice(13)}`;
    };

    test('whose page ends in the middle of the login goes on with all of the customer cart', async () => {
      for (let n = 0; n < 10; n++) await add('nia', `P${n}`, 1);
      const { guest, copy } = await guestOf(adding(newReplica(newId()), 'MUG', 1));
      await merge('nia', guest, LoginRule.LOGIN_RULE_SUM);
      // Nobody has told the copy of the login.
      const after = await goesOn(adding(copy, 'MUG', 1), 'nia');
      expect(shown(after)).toEqual(await quantitiesOf('nia'));
      expect(shown(after)).toMatchObject({ MUG: 2, P0: 1, P9: 1 });
      // From now on it is a copy of the customer's cart as any other.
      expect(shown(await synced(adding(after, 'MUG', 1), 'nia'))).toMatchObject({ MUG: 3 });
      expect(Object.keys(await quantitiesOf('nia'))).toHaveLength(11);
    });

    // Pages that were made before copies knew which cart they are of send all of the copy again.
    describe.each([
      ['begins anew', goesOn],
      ['is sent again', (copy: Replica, customerId: string) => synced(unconfirmed(copy), customerId)],
    ])('whose copy %s after the login', (way, goOn) => {
      const customer = (name: string) => `${name} ${way}`.replaceAll(' ', '-');

      test('has removed a line before: it stays removed', async () => {
        const { guest, copy } = await guestOf(adding(newReplica(oldId()), 'MUG', 2));
        world.pass(120_000);
        await merge(customer('pia'), guest, LoginRule.LOGIN_RULE_SUM);
        expect(shown(await goOn(removing(copy, 'MUG'), customer('pia')))).toEqual({});
        expect(await quantitiesOf(customer('pia'))).toEqual({});
      });

      test('adds a piece of what was removed meanwhile: there is one', async () => {
        const { guest, copy } = await guestOf(adding(newReplica(newId()), 'MUG', 2));
        await merge(customer('quy'), guest, LoginRule.LOGIN_RULE_SUM);
        await removedBy(newReplica(newId()), customer('quy'), 'MUG');
        expect(shown(await goOn(adding(copy, 'MUG', 1), customer('quy')))).toEqual({ MUG: 1 });
        expect(await quantitiesOf(customer('quy'))).toEqual({ MUG: 1 });
      });

      test('is old, and has nothing new: what was removed meanwhile stays away', async () => {
        const { guest, copy } = await guestOf(adding(newReplica(oldId()), 'MUG', 2));
        world.pass(120_000);
        await merge(customer('ray'), guest, LoginRule.LOGIN_RULE_SUM);
        await removedBy(newReplica(newId()), customer('ray'), 'MUG');
        expect(shown(await goOn(copy, customer('ray')))).toEqual({});
        expect(await quantitiesOf(customer('ray'))).toEqual({});
      });
    });

    test('keeps on from the device that was offline at the login', async () => {
      const { guest, copy } = await guestOf(adding(newReplica(newId()), 'MUG', 1));
      await merge('mia', guest, LoginRule.LOGIN_RULE_SUM);
      const after = await synced(unconfirmed(adding(copy, 'MUG', 2)), 'mia');
      expect(shown(after)).toEqual({ MUG: 3 });
      expect(await quantitiesOf('mia')).toEqual({ MUG: 3 });
    });
  });
});
