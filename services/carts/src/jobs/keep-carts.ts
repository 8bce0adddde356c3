/** The jobs of carts: what is abandoned, what expires, and checkouts whose caller has gone. */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { ContextJob } from '@caudal/context/context.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { finish, placedLines } from '../commands/check-out.ts';
import { abandoned, cartDecider } from '../domain/cart-history.ts';
import { attemptMs, withoutLapsed } from '../domain/checkout.ts';
import type { CartSettings } from '../settings.ts';
import {
  deleteCommands,
  deleteExpired,
  findCheckingOut,
  findIdle,
  noteAbandoned,
  type Place,
  start,
} from '../store/cart-rows.ts';
import { openCartStore } from '../store/cart-store.ts';
import { customerKey } from '../store/keys.ts';

const dayMs = 86_400_000;
/** As elsewhere: idempotency keys count for so long. */
const commandDays = 30;

const origin = (customerId: string) => ({
  ...{ actor: 'service:carts', causationId: '', correlationId: customerId, traceparent: '' },
});

const ifRefused = (error: unknown) => {
  if (!isCode(error, 'FAILED_PRECONDITION')) throw error;
  return undefined;
};

const customerOf = (cartId: string) => cartId.slice(2);

/** Finds carts with lines to which nothing has happened for CARTS_ABANDONED_AFTER: an event each. */
export const findAbandoned: ContextJob<CartSettings> = {
  name: 'find-abandoned-carts',
  description: 'Records which carts with lines nobody has changed for CARTS_ABANDONED_AFTER.',
  schedule: { everyMs: 10 * 60_000 },
  async run({ aggregates, database, settings }, { now, signal }) {
    const before = new Date(now.getTime() - settings.CARTS_ABANDONED_AFTER);
    await forEachCart(
      (after) => findIdle(database, before, after),
      async (cart) => {
        await recordAbandoned(aggregates, cart);
        await database.transaction((tx) => noteAbandoned(tx, cart, now));
      },
      signal,
    );
  },
};

/** Acts on all carts that `find` finds. One at which it fails does not hold up those after it: what was wrong is thrown in the end. */
async function forEachCart<C extends Place>(
  find: (after: Place) => Promise<C[]>,
  act: (cart: C) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const errors: unknown[] = [];
  let carts = await find(start);
  while (carts.length > 0) {
    for (const cart of carts) {
      if (signal.aborted) return;
      await act(cart).catch((error: unknown) => errors.push(error));
    }
    carts = await find(carts.at(-1)!);
  }
  if (errors.length > 0) throw new AggregateError(errors, `The job failed at ${errors.length} carts: ${errors[0]}`);
}

async function recordAbandoned(aggregates: Aggregates, cart: Awaited<ReturnType<typeof findIdle>>[number]) {
  const customerId = customerOf(cart.cartId);
  await aggregates.execute({
    ...{ decider: cartDecider, id: customerId, origin: origin(customerId) },
    ...{ reply: () => undefined, replyCodec: noReply },
    decide: (state) => abandoned(state, { customerId, ...cart, lastChangeTime: cart.changedAt }),
  });
}

/** Deletes carts that nobody has changed for very long, and idempotency keys after 30 days. */
export const expireCarts: ContextJob<CartSettings> = {
  name: 'expire-carts',
  description:
    'Deletes carts that nobody has changed for CARTS_GUESTS_KEPT or CARTS_KEPT, and idempotency keys after 30 days.',
  schedule: { everyMs: 3_600_000 },
  async run({ database, settings }, { now, signal }) {
    const ago = (ms: number) => new Date(now.getTime() - ms);
    const before = { guests: ago(settings.CARTS_GUESTS_KEPT), customers: ago(settings.CARTS_KEPT) };
    const isDone = async (deleted: Promise<number>) => (await deleted) === 0 || signal.aborted;
    while (!(await isDone(database.transaction((tx) => deleteExpired(tx, before)))));
    while (!(await isDone(database.transaction((tx) => deleteCommands(tx, ago(commandDays * dayMs))))));
  },
};

/** Ends checkouts that have placed their order and did not live to say so. */
export const settleCheckouts: ContextJob<CartSettings> = {
  name: 'settle-checkouts',
  description: 'Takes what was ordered out of carts whose checkout was interrupted.',
  schedule: { everyMs: 60_000 },
  async run(tools, { now, signal }) {
    const { aggregates, clock, client, tables } = tools;
    const store = openCartStore({ database: tables.database, clock });
    const orderQueries: Client<OrderQueryServiceService> = client(OrderQueryServiceService);
    const before = new Date(now.getTime() - attemptMs);
    async function settle(cartId: string): Promise<void> {
      const customerId = customerOf(cartId);
      // Of an erased customer the row is about to be deleted.
      const key = await customerKey(tables.seals, customerId).catch(ifRefused);
      if (!key) return;
      const { stored } = await store.read(key);
      if (!stored.checkout) return;
      const { orderId } = stored.checkout;
      const ordered = await placedLines({ orderQueries }, orderId, { origin: origin(customerId), signal });
      if (ordered) {
        const of = { key, customerId, orderId, ordered, origin: origin(customerId) };
        return finish({ aggregates, store, clock }, of);
      }
      await store.change({
        key,
        decide(row) {
          const left = withoutLapsed(row.stored, now);
          return { row: left === row.stored ? row : { ...row, stored: left }, reply: undefined };
        },
        repeat: () => undefined,
      });
    }
    await forEachCart(
      (after) => findCheckingOut(tables.database, before, after),
      ({ cartId }) => settle(cartId),
      signal,
    );
  },
};
