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
import { deleteCommands, deleteExpired, findCheckingOut, findIdle, noteAbandoned } from '../store/cart-rows.ts';
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
    for (const cart of await findIdle(database, before)) {
      if (signal.aborted) return;
      await recordAbandoned(aggregates, cart);
      await database.transaction((tx) => noteAbandoned(tx, cart, now));
    }
  },
};

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
    for (const { cartId } of await findCheckingOut(tables.database, new Date(now.getTime() - attemptMs))) {
      if (signal.aborted) return;
      const customerId = customerOf(cartId);
      // Of an erased customer the row is about to be deleted.
      const key = await customerKey(tables.seals, customerId).catch(ifRefused);
      if (!key) continue;
      const { stored } = await store.read(key);
      if (!stored.checkout) continue;
      const { orderId } = stored.checkout;
      const ordered = await placedLines({ orderQueries }, orderId, { origin: origin(customerId), signal });
      if (!ordered) {
        await store.change({
          key,
          decide: (row) => ({ row: { ...row, stored: withoutLapsed(row.stored, now) }, reply: undefined }),
          repeat: () => undefined,
        });
        continue;
      }
      const checkout = stored.checkouts + 1;
      const of = { key, customerId, orderId, ordered, checkout, origin: origin(customerId) };
      await finish({ aggregates, store, clock }, of);
    }
  },
};
