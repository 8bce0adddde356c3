/** What an order leaves in PostgreSQL, by table: for ever, for 30 days, and for some days. Counted, so load does not matter. */
import { setTimeout } from 'node:timers/promises';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { Client } from 'pg';
import { tables } from '../../../scripts/reference/stored.ts';
import { startSystem } from '../../e2e/system.ts';
import { until } from '../../e2e/wait.ts';
import { deliver, newCustomer, newProduct, orderAt, orderConfirmed } from '../../e2e/world.ts';
import { figureOf } from '../figures.ts';
import type { Bench, Figure } from '../types.ts';

const bench = 'kept';
const lines = 3;
const inFlight = 8;

/** Rows and bytes, with indexes, by table. */
type Sizes = Map<string, { rows: number; bytes: number }>;

export const kept: Bench = {
  name: 'kept',
  title: 'What an order leaves behind',
  compares: `One process on all stores leads orders of ${lines} lines from a card to delivery. Rows and bytes in PostgreSQL for each order, with indexes, over all contexts, when it is confirmed and when it is delivered: what is kept for ever, and what is kept for 30 days (claims) or two (cursors). The buyer's call has a request id, those of the shop (dispatch, delivery) have none.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],

  async run({ quick, say }) {
    const orders = quick ? 100 : 500;
    const system = await startSystem({ form: 'stores', env: () => ({ LOG_LEVEL: 'error' }) });
    const sql = new Client({ connectionString: system.stores!.databaseUrl });
    try {
      await sql.connect();
      const { api } = system;
      const productIds: string[] = [];
      for (let n = 0; n < 20; n++) productIds.push(await newProduct(api, { quantity: 1_000_000 }));
      const customerId = await newCustomer(api);
      const place = async (n: number) => {
        const orderId = newId();
        await api.insist('PlaceOrder', {
          ...{ orderId, customerId, country: 'UK', paymentMethod: { cardToken: 'tok_approved' } },
          lines: Array.from({ length: lines }, (_, line) => ({
            productId: productIds[(n + line) % productIds.length],
            quantity: '1',
          })),
        });
        await orderConfirmed(api, orderId);
        if (n % 100 === 0) say(`${n} of ${orders} orders are confirmed`);
        return orderId;
      };
      const send = async (orderId: string) => {
        await deliver(api, orderId);
        await orderAt(api, orderId, 'DELIVERED', ({ shipment }) => shipment.status === 'delivered');
      };
      // The first page of each index is there afterwards.
      await forEachConcurrent(Array(20).keys(), inFlight, async (n) => send(await place(n)));
      const before = await settledSizes(sql);
      const placed: string[] = [];
      await forEachConcurrent(Array(orders).keys(), inFlight, async (n) => void placed.push(await place(n)));
      const confirmed = await settledSizes(sql);
      await forEachConcurrent(placed, inFlight, send);
      const delivered = await settledSizes(sql);
      return figuresOf({ before, confirmed, delivered }, orders);
    } catch (error) {
      throw system.explain(error);
    } finally {
      await sql.end();
      await system.stop();
    }
  },
};

/** Mails and the saga's last facts come after what a buyer sees. */
async function settledSizes(sql: Client): Promise<Sizes> {
  let last = -1;
  return until(
    'no event any more',
    async () => {
      await setTimeout(1_500);
      return sizesOf(sql);
    },
    (sizes) => {
      const same = sizes.get('events')!.rows === last;
      last = sizes.get('events')!.rows;
      return same;
    },
    60_000,
  );
}

async function sizesOf(sql: Client): Promise<Sizes> {
  const sizes: Sizes = new Map();
  for (const { name: schema } of contexts) {
    for (const { name, passing } of tables) {
      if (passing) continue;
      // Of a partitioned table the partitions.
      const { rows } = await sql.query<{ rows: string; bytes: string }>(
        `SELECT (SELECT count(*) FROM ${schema}.${name}) AS rows, pg_total_relation_size('${schema}.${name}') +
          (SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = '${schema}.${name}'::regclass)
          AS bytes`,
      );
      const known = sizes.get(name) ?? { rows: 0, bytes: 0 };
      sizes.set(name, { rows: known.rows + Number(rows[0]!.rows), bytes: known.bytes + Number(rows[0]!.bytes) });
    }
  }
  return sizes;
}

function figuresOf(
  { before, confirmed, delivered }: Record<'before' | 'confirmed' | 'delivered', Sizes>,
  orders: number,
): Figure[] {
  const grown = (to: Sizes, name: string, what: 'rows' | 'bytes') =>
    (to.get(name)![what] - before.get(name)![what]) / orders / (what === 'bytes' ? 1_000 : 1);
  const forEver = tables.filter(({ kind, passing }) => !passing && kind !== 'rows end').map(({ name }) => name);
  const sum = (to: Sizes, what: 'rows' | 'bytes') => forEver.reduce((all, name) => all + grown(to, name, what), 0);
  const one = (metric: string, unit: string, value: number, atMost?: number) =>
    figureOf({ bench, metric, unit, ...(atMost && { goal: { kind: 'atMost', value: atMost } as const }) }, [value]);
  const at = (when: string, to: Sizes, goal?: number) => [
    one(`${when}.for-ever`, 'KB', sum(to, 'bytes'), goal),
    one(`${when}.for-ever.rows`, 'rows', sum(to, 'rows')),
    ...forEver.flatMap((name) => {
      const size = grown(to, name, 'bytes');
      return size > 0 ? [one(`${when}.for-ever.${name}`, 'KB', size)] : [];
    }),
    one(`${when}.claims`, 'rows', grown(to, 'claims', 'rows'), 1 + lines),
    one(`${when}.claims.size`, 'KB', grown(to, 'claims', 'bytes')),
    one(`${when}.cursors`, 'rows', grown(to, 'handler_cursors', 'rows')),
    one(`${when}.timers`, 'rows', grown(to, 'timers', 'rows')),
  ];
  return [...at('confirmed', confirmed, 8), ...at('delivered', delivered)];
}
