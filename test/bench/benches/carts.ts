/** Carts: adds of many devices, a device that was away, and merging. */
import { addToLine, type Cart, emptyCart, merge } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { newReplica, pendingChanges, type Replica, received } from '@caudal/carts/replica.ts';
import { AddToCartRequest } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { testCall } from '@caudal/testing/call.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type Carts, openCarts } from '../carts.ts';
import { openCrudCarts } from '../crud/carts.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, type Measured, takeTurns } from '../load.ts';
import type { Bench, Goal } from '../types.ts';

const bench = 'carts';
const clients = 256;
const connections = 16;
const many = 10_000;
const products = 20;
/** Of the device that was away. */
const lines = 200;
const changesMeanwhile = 300;
const ownChanges = 30;
const threeDaysMs = 3 * 86_400_000;
const mergedLines = 1_000;
const mergedDevices = 3;

const goals: Record<string, Goal> = {
  'one.caudal': { kind: 'atLeast', value: 1_000 },
  'one.vs-crud': { kind: 'atLeast', value: 10 },
  'many.vs-crud': { kind: 'atLeast', value: 1 },
  'sync.p99': { kind: 'atMost', value: 50 },
  'merge.p99': { kind: 'atMost', value: 10 },
  'merge-bytes.p99': { kind: 'atMost', value: 25 },
};

const productOf = (n: number) => `P-${n % products}`;
const cartOf = (n: number) => `C-${n % many}`;
const textOf = (cart: Cart) => Buffer.from(encodeCart(cart)).toString('base64url');

function add({ api }: Carts, customerId: string, productId: string) {
  const request = AddToCartRequest.fromPartial({ customerId, productId, quantity: 1n });
  return api.addToCart(request, testCall({ requestId: newId(), content: `${customerId} ${productId}` }));
}

/** Sends what the copy has changed, and takes what it lacks. The bytes that went both ways. */
async function synced({ api }: Carts, copy: Replica, customerId: string): Promise<{ copy: Replica; bytes: number }> {
  const sent = pendingChanges(copy);
  const changes = textOf(sent);
  const { device, cartUid, version, confirmed } = copy;
  const request = { customerId, deviceId: device, cartUid, baseVersion: BigInt(version), changes };
  const confirmedChange = BigInt(confirmed.seen.get(device) ?? 0);
  const answer = await api.syncCart({ ...request, confirmedChange }, testCall());
  const news = decodeCart(Buffer.from(answer.changes, 'base64url'));
  return {
    copy: received(copy, sent, {
      base: version,
      cartUid: answer.cartUid,
      version: Number(answer.version),
      changes: news,
    }),
    bytes: changes.length + answer.changes.length,
  };
}

/** The copy after the adds with these numbers, over so many lines. */
function adding(copy: Replica, { from = 0, count, of = lines, nowMs }: Adds): Replica {
  let { cart } = copy;
  for (let n = from; n < from + count; n++)
    cart = addToLine(cart, `P-${(n * 7) % of}`, 1, { device: copy.device, nowMs });
  return { ...copy, cart };
}

interface Adds {
  from?: number;
  count: number;
  of?: number;
  nowMs: number;
}

/** A cart that a phone has seen, and of which it and a laptop have changed a part since, as long as the phone was away. */
async function awayFor(carts: Carts, customerId: string, thenMs: number): Promise<Replica> {
  let laptop = adding(newReplica(newId()), { count: lines, nowMs: thenMs });
  laptop = (await synced(carts, laptop, customerId)).copy;
  const { copy: phone } = await synced(carts, newReplica(newId()), customerId);
  for (let n = 0; n < changesMeanwhile; n += 10) {
    laptop = adding(laptop, { from: n, count: 10, of: lines / 4, nowMs: thenMs });
    laptop = (await synced(carts, laptop, customerId)).copy;
  }
  return adding(phone, { count: ownChanges, nowMs: thenMs });
}

/** A cart of 1,000 lines, to which each of some devices has added. */
function largeCart(devices: string[]): Cart {
  let cart = emptyCart();
  for (const device of devices)
    for (let line = 0; line < mergedLines; line++)
      cart = addToLine(cart, `PRODUCT-${line}`, 1 + (line % 3), { device, nowMs: Date.now() });
  return cart;
}

export const carts: Bench = {
  name: bench,
  title: 'Carts',
  compares: `${clients} clients add one piece each to one cart, again and again, and to ${many.toLocaleString('en')} carts in turn, each add under a request id. Compared with carts as a CRUD service keeps them (test/bench/crud/carts.ts), which locks the cart's row, with the same ${connections} connections; both are called in the same process, without gRPC, and answer with the cart. The pieces in the one cart are counted at the end: it fails if an add was lost. sync: a copy of a cart of ${lines} lines that was away for three days has ${ownChanges} changes to send and lacks ${changesMeanwhile}; one call sends and takes all of it. merge: of two carts with ${mergedLines.toLocaleString('en')} lines of ${mergedDevices} devices each; merge-bytes: the same from bytes to bytes, as the server does it.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const fresh = await freshDatabase();
    let behindMs = 0;
    const clock = () => new Date(Date.now() - behindMs);
    const caudal = await openCarts(fresh.url, { poolSize: connections, clock });
    const database = openDatabase({
      ...{ url: fresh.url, schema: 'public', poolSize: connections, connectTimeoutMs: 60_000 },
    });
    const crud = await openCrudCarts(database);
    const seconds = quick ? 2 : 5;
    const rounds = quick ? 1 : 5;
    const hot = 'C-hot';
    let added = 0;
    try {
      say(`${many} carts`);
      await crud.open([hot, ...Array.from({ length: many }, (_, n) => cartOf(n))]);
      await forEachConcurrent(Array(many).keys(), clients, async (n) => {
        await add(caudal, cartOf(n), productOf(n));
      });
      const load = (work: (n: number) => Promise<unknown>) => () =>
        closedLoop({ clients, seconds, work: (client, turn) => work(client * 7_919 + turn * 104_729) });
      const quantity = 1;
      const measured = await takeTurns(
        {
          'one.caudal': load(async (n) => {
            await add(caudal, hot, productOf(n));
            added++;
          }),
          'one.crud': load((n) => crud.add({ cartId: hot, productId: productOf(n), quantity })),
          'many.caudal': load((n) => add(caudal, cartOf(n), productOf(n))),
          'many.crud': load((n) => crud.add({ cartId: cartOf(n), productId: productOf(n), quantity })),
        },
        { rounds, say },
      );
      const inCart = await caudal.pieces(hot);
      if (inCart !== added) throw new Error(`${added} adds were answered, and ${inCart} pieces are in the cart.`);

      const syncs: { ms: number; bytes: number }[][] = [];
      for (let round = 1; round <= rounds; round++) {
        say(`sync: round ${round} of ${rounds}`);
        behindMs = threeDaysMs;
        const away: [string, Replica][] = [];
        for (let n = 0; n < (quick ? 20 : 100); n++) {
          const customerId = `S-${round}-${n}`;
          away.push([customerId, await awayFor(caudal, customerId, clock().getTime())]);
        }
        behindMs = 0;
        const times: { ms: number; bytes: number }[] = [];
        for (const [customerId, copy] of away) {
          const began = performance.now();
          const { bytes } = await synced(caudal, copy, customerId);
          times.push({ ms: performance.now() - began, bytes });
        }
        syncs.push(times.sort((a, b) => a.ms - b.ms));
      }

      const devices = Array.from({ length: 2 * mergedDevices }, newId);
      const [one, other] = [largeCart(devices.slice(0, mergedDevices)), largeCart(devices.slice(mergedDevices))];
      const [oneBytes, otherBytes] = [encodeCart(one), encodeCart(other)];
      const merges = await takeTurns(
        {
          merge: () => closedLoop({ clients: 1, seconds: 1, work: async () => merge(one, other) }),
          'merge-bytes': () =>
            closedLoop({
              ...{ clients: 1, seconds: 1 },
              work: async () => encodeCart(merge(decodeCart(oneBytes), decodeCart(otherBytes))),
            }),
        },
        { rounds, say },
      );

      const figure = (metric: string, unit: string, values: number[]) =>
        figureOf({ bench, metric, unit, goal: goals[metric] }, values);
      const ofLoad = (name: keyof typeof measured, of: keyof Measured) => measured[name].map((each) => each[of]);
      const ratio = (metric: string, of: keyof typeof measured, by: keyof typeof measured) =>
        ratioOf({ bench, metric, goal: goals[metric] }, ofLoad(of, 'rate'), ofLoad(by, 'rate'));
      return [
        ...(Object.keys(measured) as (keyof typeof measured)[]).flatMap((name) => [
          figure(name, '/s', ofLoad(name, 'rate')),
          figure(`${name}.p50`, 'ms', ofLoad(name, 'p50')),
          figure(`${name}.p99`, 'ms', ofLoad(name, 'p99')),
        ]),
        ratio('one.vs-crud', 'one.caudal', 'one.crud'),
        ratio('many.vs-crud', 'many.caudal', 'many.crud'),
        figure(
          'sync.p50',
          'ms',
          syncs.map((times) => times[times.length >> 1]!.ms),
        ),
        figure(
          'sync.p99',
          'ms',
          syncs.map((times) => times[Math.ceil(times.length * 0.99) - 1]!.ms),
        ),
        figure(
          'sync.size',
          'B',
          syncs.map((times) => times[0]!.bytes),
        ),
        ...(['merge', 'merge-bytes'] as const).flatMap((name) => [
          figure(
            `${name}.p50`,
            'ms',
            merges[name].map(({ p50 }) => p50),
          ),
          figure(
            `${name}.p99`,
            'ms',
            merges[name].map(({ p99 }) => p99),
          ),
        ]),
      ];
    } finally {
      await caudal.close();
      await database.close();
      await fresh.drop();
    }
  },
};
