/** A browser's copy against the server's merge: what the copy does about each refusal. In Node it keeps its copy in memory. */
import { type BrowserCart, openBrowserCart, type SyncBody } from '@caudal/carts/browser/browser-cart.ts';
import { deleteBrowserCart } from '@caudal/carts/browser/copy-storage.ts';
import { addToLine, type Cart, linesOf, merge, removeLine } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { valuesOf, writeField } from '@caudal/carts/fields.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { afterEach, expect, jest, test } from '@jest/globals';
import { answerTo, changedTo, newCart, type StoredCart, serverDevice, sync, withUid } from './stored-cart.ts';

const dayMs = 86_400_000;
const fields = { note: 'last-writer-wins' } as const;
let stored: StoredCart;
let serverMs: number;
let copies: BrowserCart[] = [];
let opened = 0;

afterEach(() => {
  for (const copy of copies) copy.close();
  copies = [];
});

function makeServer(): void {
  stored = newCart();
  serverMs = Date.parse('2026-01-01T00:00:00Z');
}

/** As REST answers. */
async function send(body: SyncBody) {
  const request = {
    device: body.deviceId,
    cartUid: body.cartUid,
    baseVersion: Number(body.baseVersion),
    confirmedChange: Number(body.confirmedChange),
    changes: decodeCart(Buffer.from(body.changes, 'base64url')),
  };
  const before = stored;
  try {
    stored = withUid(sync(stored, request, fields, new Date(serverMs)), newId());
  } catch (error) {
    const { reason, metadata } = error as CaudalError;
    throw Object.assign(new Error(reason), { reason, metadata });
  }
  const changes = Buffer.from(encodeCart(answerTo(stored, request.baseVersion, before))).toString('base64url');
  return {
    cartUid: stored.uid,
    version: String(stored.version),
    changes,
    serverTime: new Date(serverMs).toISOString(),
  };
}

let ids = 0;
const idAt = (ms: number) => {
  ids += 1;
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(ids).padStart(12, '0')}`;
};

async function open(aheadMs = 0, sending = send): Promise<BrowserCart> {
  opened += 1;
  const name = `cart ${process.pid} ${opened}`;
  const copy = await openBrowserCart({
    ...{ name, send: sending },
    nowMs: () => serverMs + aheadMs,
    newId: idAt,
  });
  copies.push(copy);
  return copy;
}

const add = (copy: BrowserCart, key: string, pieces: number) =>
  copy.change((cart, by) => addToLine(cart, key, pieces, by));
const note = (copy: BrowserCart, value: string) =>
  copy.change((cart, by) => ({ ...cart, fields: writeField(cart.fields, { name: 'note', value, ...by }, fields) }));
const shown = (cart: Cart) => Object.fromEntries(linesOf(cart).map(({ key, quantity }) => [key, quantity]));
const noteOf = (cart: Cart) => valuesOf(cart.fields.get('note')!)[0];

test('a copy keeps what was not answered, and sends it once', async () => {
  makeServer();
  let isAway = true;
  const copy = await open(0, async (body) => {
    const answer = await send(body);
    if (isAway) throw new TypeError('Failed to fetch');
    return answer;
  });
  expect(copy.isKept).toBe(false);
  await add(copy, 'A', 2);
  await expect(copy.sync()).rejects.toThrow('Failed to fetch');
  expect(await copy.read()).toMatchObject({ isSent: false });
  await add(copy, 'A', 1);
  isAway = false;
  const { cart, isSent } = await copy.sync();
  expect([shown(cart), isSent, shown(stored.cart)]).toEqual([{ A: 3 }, true, { A: 3 }]);
});

test('syncs that are asked for while one waits are one', async () => {
  makeServer();
  let calls = 0;
  const copy = await open(0, (body) => {
    calls += 1;
    return send(body);
  });
  await add(copy, 'A', 1);
  await Promise.all(Array.from({ length: 20 }, () => copy.sync()));
  expect(calls).toBe(1);
});

test('what was added while an answer was on its way is sent with the next sync', async () => {
  makeServer();
  const copy: BrowserCart = await open(0, async (body) => {
    const answer = await send(body);
    if (stored.version === 1) await add(copy, 'A', 1);
    return answer;
  });
  await add(copy, 'A', 1);
  expect((await copy.sync()).isSent).toBe(false);
  expect(shown(stored.cart)).toEqual({ A: 1 });
  expect((await copy.sync()).isSent).toBe(true);
  expect(shown(stored.cart)).toEqual({ A: 2 });
});

test('a copy that has expired begins anew and loses nothing that it has not sent', async () => {
  makeServer();
  const [old, other] = [await open(), await open()];
  await add(old, 'A', 2);
  await add(old, 'B', 1);
  await old.sync();
  await add(old, 'A', 1);
  await old.change((cart) => removeLine(cart, 'B'));
  serverMs += 40 * dayMs;
  await other.sync();
  await other.change((cart) => removeLine(cart, 'A'));
  await add(other, 'C', 4);
  await other.sync();
  await other.sync();
  const { cart, isSent } = await old.sync();
  expect([shown(cart), isSent]).toEqual([{ A: 1, C: 4 }, true]);
  expect(shown(stored.cart)).toEqual({ A: 1, C: 4 });
});

test('a copy that was away for long brings nothing back that was removed meanwhile', async () => {
  makeServer();
  const [old, other] = [await open(), await open()];
  await add(old, 'A', 2);
  await old.sync();
  serverMs += 40 * dayMs;
  await other.sync();
  await other.change((cart) => removeLine(cart, 'A'));
  await other.sync();
  await other.sync();
  expect(stored.cart.lines.size).toBe(0);
  const { cart, isSent } = await old.sync();
  expect([shown(cart), isSent, shown(stored.cart)]).toEqual([{}, true, {}]);
});

test('a removal of a copy that begins anew takes no pieces away that it has not seen', async () => {
  makeServer();
  const [phone, laptop] = [await open(), await open()];
  await add(phone, 'A', 1);
  await phone.sync();
  await phone.change((cart) => removeLine(cart, 'A'));
  serverMs += 40 * dayMs;
  await laptop.sync();
  await add(laptop, 'A', 3);
  await laptop.sync();
  expect(shown(stored.cart)).toEqual({ A: 4 });
  expect([shown((await phone.sync()).cart), shown(stored.cart)]).toEqual([{ A: 3 }, { A: 3 }]);
});

test('pieces that had arrived without an answer, and were removed, are not added again by a copy that begins anew', async () => {
  makeServer();
  let isAway = false;
  const phone = await open(0, async (body) => {
    const answer = await send(body);
    if (isAway) throw new TypeError('Failed to fetch');
    return answer;
  });
  await add(phone, 'A', 2);
  await phone.sync();
  isAway = true;
  await add(phone, 'A', 1);
  await expect(phone.sync()).rejects.toThrow('Failed to fetch');
  stored = changedTo(stored, removeLine(stored.cart, 'A'), new Date(serverMs));
  expect(stored.cart.lines.size).toBe(1);
  await add(phone, 'A', 1);
  // As after more removed lines than are remembered.
  stored = { ...stored, forgottenUpTo: stored.version };
  isAway = false;
  expect([shown((await phone.sync()).cart), shown(stored.cart)]).toEqual([{ A: 1 }, { A: 1 }]);
});

test.each([-40 * dayMs, 40 * dayMs])(
  'a clock that is off by %d ms is corrected, and the copy is sent',
  async (aheadMs) => {
    makeServer();
    const copy = await open(aheadMs);
    await add(copy, 'A', 1);
    await note(copy, 'first');
    expect((await copy.sync()).isSent).toBe(true);
    expect([shown(stored.cart), noteOf(stored.cart)]).toEqual([{ A: 1 }, 'first']);
    await add(copy, 'A', 1);
    await copy.sync();
    expect(shown(stored.cart)).toEqual({ A: 2 });
  },
);

test('without Web Locks each sync is sent, also after one that has failed', async () => {
  makeServer();
  const without = jest.replaceProperty(globalThis, 'navigator', {} as Navigator);
  try {
    let calls = 0;
    const copy = await open(0, (body) => {
      calls += 1;
      if (calls === 1) throw new TypeError('Failed to fetch');
      return send(body);
    });
    await add(copy, 'A', 1);
    await expect(copy.sync()).rejects.toThrow('Failed to fetch');
    await copy.sync();
    await add(copy, 'A', 1);
    await copy.sync();
    expect([calls, shown(stored.cart)]).toEqual([3, { A: 2 }]);
  } finally {
    without.restore();
  }
});

test('a server that has lost what it confirmed gets everything again', async () => {
  makeServer();
  const copy = await open();
  await add(copy, 'A', 2);
  await copy.sync();
  stored = newCart();
  await add(copy, 'B', 1);
  await copy.sync();
  expect(shown(stored.cart)).toEqual({ A: 2, B: 1 });
});

test('pieces of others that the server has lost are not shown for ever', async () => {
  makeServer();
  const copy = await open();
  stored = changedTo(
    stored,
    addToLine(stored.cart, 'A', 2, { device: serverDevice, nowMs: serverMs }),
    new Date(serverMs),
  );
  await copy.sync();
  await add(copy, 'A', 1);
  await copy.sync();
  stored = newCart();
  const { cart } = await copy.sync();
  expect([shown(cart), shown(stored.cart)]).toEqual([{ A: 1 }, { A: 1 }]);
});

test('a clock that is ahead is corrected, and later writes of others win', async () => {
  makeServer();
  const [ahead, right] = [await open(3_600_000), await open()];
  await add(ahead, 'A', 1);
  await note(ahead, 'first');
  await ahead.sync();
  expect(shown(stored.cart)).toEqual({ A: 1 });
  await right.sync();
  serverMs += 5_000;
  await note(right, 'second');
  await right.sync();
  expect(noteOf((await ahead.sync()).cart)).toBe('second');
  // From now on it knows: nothing is refused any more.
  serverMs += 5_000;
  await note(ahead, 'third');
  await ahead.sync();
  expect(noteOf(stored.cart)).toBe('third');
});

test('after a login the copy goes to the customer: an answer about the guest cart is of no use then', async () => {
  makeServer();
  let login: (() => Promise<unknown>) | undefined;
  const copy = await open(0, async (body) => {
    const answer = await send(body);
    await login?.();
    return answer;
  });
  await add(copy, 'A', 2);
  await copy.sync();
  const customers = await open();
  login = async () => {
    login = undefined;
    const guests = stored;
    stored = newCart();
    await add(customers, 'B', 1);
    await customers.sync();
    stored = { ...stored, version: guests.version + 5 };
    await copy.sendAnew();
  };
  await copy.sync();
  const { cart } = await copy.sync();
  expect(shown(cart)).toEqual({ A: 2, B: 1 });
  expect(shown(stored.cart)).toEqual({ A: 2, B: 1 });
});

test('a copy that is not told of a login notices it, and becomes one of the customer cart', async () => {
  makeServer();
  const copy = await open();
  await add(copy, 'A', 2);
  await copy.sync();
  await add(copy, 'A', 1);
  const guests = stored;
  stored = newCart();
  const customers = await open();
  for (const key of ['B', 'C', 'D']) {
    await add(customers, key, 1);
    await customers.sync();
  }
  stored = changedTo(stored, merge(stored.cart, guests.cart), new Date(serverMs));
  const { cart, isSent } = await copy.sync();
  expect([shown(cart), isSent]).toEqual([{ A: 3, B: 1, C: 1, D: 1 }, true]);
  expect(shown(stored.cart)).toEqual({ A: 3, B: 1, C: 1, D: 1 });
  await copy.change((now) => removeLine(now, 'A'));
  expect([shown((await copy.sync()).cart), shown(stored.cart)]).toEqual(Array(2).fill({ B: 1, C: 1, D: 1 }));
});

test('a logout ends copies in memory, too: the next user of the browser sends nothing of them', async () => {
  makeServer();
  const name = `cart ${process.pid} logout`;
  let calls = 0;
  let drop = () => {};
  const dropped = new Promise<void>((resolve) => {
    drop = resolve;
  });
  const counting = (body: SyncBody) => {
    calls += 1;
    return send(body);
  };
  const copy = await openBrowserCart({ name, send: counting, newId: idAt, nowMs: () => serverMs, onDropped: drop });
  copies.push(copy);
  await add(copy, 'A', 1);
  await deleteBrowserCart(name);
  await dropped;
  for (const act of [copy.read, copy.sync, () => add(copy, 'B', 1)]) await expect(act()).rejects.toThrow('was closed');
  expect(calls).toBe(0);
});

test('a change that throws, and one that the copy could not read again, change nothing', async () => {
  makeServer();
  const copy = await open();
  await add(copy, 'A', 1);
  await expect(
    copy.change(() => {
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  await expect(add(copy, 'not a key', 1)).rejects.toThrow(RangeError);
  expect(shown((await copy.read()).cart)).toEqual({ A: 1 });
});
