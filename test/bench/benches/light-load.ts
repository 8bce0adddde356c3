/** Orders of few buyers, so that all batches are small: what one costs, and how long its buyer waits. */
import { setTimeout } from 'node:timers/promises';
import { newId } from '@caudal/kernel/ids.ts';
import { Client } from 'pg';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { figureOf } from '../figures.ts';
import { openRest, type Rest } from '../http.ts';
import { closedLoop } from '../load.ts';
import { type Runtime, startRuntime } from '../runtime.ts';
import type { Bench, Goal } from '../types.ts';

const bench = 'light-load';
const inFlight = 8;
const buyers = 32;
const pieces = 500;
const lookEveryMs = 4;

const atMost = (value: number): Goal => ({ kind: 'atMost', value });

type Outcome = 'confirmed' | 'rejected';

export const lightLoad: Bench = {
  name: bench,
  title: 'Few orders at a time',
  compares: `Orders of one line, paid with a card (the sandbox's gateway), through REST, in one process on the embedded PostgreSQL. ${inFlight} in flight: the processor time of Caudal and PostgreSQL together for an order, and the time from placing it until it is confirmed. Then one order alone. Then ${pieces} pieces of one product and ${buyers} buyers, each of whom orders one piece again and again until an order is rejected: the time until all are sold, and how many orders were confirmed. An order's end is found in the log every ${lookEveryMs} ms, which is part of PostgreSQL's time.`,
  needs: [],

  async run({ quick, say }) {
    const runtime = await startRuntime({}, { postgres: 'embedded' });
    const rest = openRest(runtime.part.rest, runtime.token);
    const ends = await watchEnds(runtime);
    try {
      await sell(rest, 'P-plenty', 100_000_000);
      await rest.send('POST', '/v1/customers', {
        ...{ customerId: 'C', displayName: 'Ada', email: 'ada@example.com', country: 'GB' },
      });
      const order = async (productId: string): Promise<Outcome> => {
        const orderId = newId();
        const ended = ends.of(orderId);
        await rest.send('POST', '/v1/orders', {
          ...{ orderId, customerId: 'C', country: 'GB', lines: [{ productId, quantity: '1' }] },
          paymentMethod: { cardToken: 'tok_approved' },
        });
        return ended;
      };
      const one = () => order('P-plenty');
      say('warm-up');
      await closedLoop({ clients: inFlight, seconds: quick ? 2 : 20, work: one });
      const light = [];
      for (let round = 1; round <= (quick ? 1 : 5); round++) {
        say(`${inFlight} in flight, round ${round}`);
        const before = cpuTimes();
        const measured = await closedLoop({ clients: inFlight, seconds: quick ? 2 : 8, work: one });
        const { caudal, postgres } = cpuUsed(before, cpuTimes());
        const ms = (seconds: number) => (seconds / measured.operations) * 1_000;
        light.push({ ...measured, cpu: ms(caudal! + postgres!), postgres: ms(postgres!) });
      }
      say('one order alone');
      const alone = await closedLoop({ clients: 1, seconds: quick ? 2 : 10, work: one });
      const sales = [];
      for (let round = 1; round <= (quick ? 1 : 3); round++) {
        say(`${pieces} pieces, ${buyers} buyers, round ${round}`);
        await sell(rest, `P-last-${round}`, pieces);
        sales.push(await soldOut(() => order(`P-last-${round}`)));
      }
      const figure = (metric: string, unit: string, values: number[], goal?: Goal) =>
        figureOf({ bench, metric, unit, goal }, values);
      return [
        figure(
          'orders',
          '/s',
          light.map(({ rate }) => rate),
        ),
        figure(
          'cpu',
          'ms',
          light.map(({ cpu }) => cpu),
          atMost(9),
        ),
        figure(
          'cpu.postgres',
          'ms',
          light.map(({ postgres }) => postgres),
        ),
        figure(
          'p50',
          'ms',
          light.map(({ p50 }) => p50),
          atMost(40),
        ),
        figure(
          'p99',
          'ms',
          light.map(({ p99 }) => p99),
        ),
        figure('alone.p50', 'ms', [alone.p50], atMost(30)),
        figure(
          'sold-out.seconds',
          's',
          sales.map(({ seconds }) => seconds),
          atMost(1.5),
        ),
        figure(
          'sold-out.oversold',
          'pieces',
          sales.map(({ sold }) => Math.abs(sold - pieces)),
          atMost(0),
        ),
      ];
    } finally {
      await ends.close();
      rest.close();
      await runtime.stop();
    }
  },
};

async function sell(rest: Rest, productId: string, quantity: number): Promise<void> {
  const price = { minorUnits: '650', currency: 'GBP' };
  await rest.send('POST', '/v1/products', { productId, title: productId, price });
  await rest.send('POST', '/v1/stock', { productId, quantity: String(quantity) });
  // Prices are read from a view.
  await setTimeout(500);
}

async function soldOut(order: () => Promise<Outcome>): Promise<{ seconds: number; sold: number }> {
  const began = performance.now();
  let sold = 0;
  let lastMs = began;
  await Promise.all(
    Array.from({ length: buyers }, async () => {
      while ((await order()) === 'confirmed') {
        sold++;
        lastMs = performance.now();
      }
    }),
  );
  return { seconds: (lastMs - began) / 1_000, sold };
}

/** Looks for the orders' ends in their log, so that no query of a view is part of what is measured. */
async function watchEnds({ databaseUrl }: Runtime) {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  // The plan is made while the log is small.
  await client.query('SET enable_seqscan = off; SET enable_sort = off');
  const waiting = new Map<string, { resolve(outcome: Outcome): void; reject(error: unknown): void }>();
  let position = 0;
  let open = true;
  const text = `SELECT position, stream, type FROM orders.events WHERE position > $1 ORDER BY position`;
  const looking = (async () => {
    while (open) {
      const { rows } = await client.query<{ position: string; stream: string; type: string }>({
        ...{ name: 'bench-ends', text, values: [position] },
      });
      for (const { stream, type } of rows) {
        const outcome = type.split('.')[2] as Outcome;
        if (outcome !== 'confirmed' && outcome !== 'rejected') continue;
        const orderId = stream.slice(stream.indexOf('/') + 1);
        waiting.get(orderId)?.resolve(outcome);
        waiting.delete(orderId);
      }
      position = Number(rows.at(-1)?.position ?? position);
      await setTimeout(lookEveryMs);
    }
  })().catch((error: unknown) => {
    for (const { reject } of waiting.values()) reject(error);
  });
  return {
    of: (orderId: string) => new Promise<Outcome>((resolve, reject) => waiting.set(orderId, { resolve, reject })),
    async close() {
      open = false;
      await looking;
      await client.end();
    },
  };
}
