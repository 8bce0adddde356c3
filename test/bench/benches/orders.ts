/** Whole orders per second, from the call to the confirmed order. */
import { serverUrl } from '@caudal/testing/servers.ts';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { figureOf } from '../figures.ts';
import { linesPerOrder, openOrderLoad, window } from '../order-load.ts';
import { startRuntime } from '../runtime.ts';
import type { Bench, Figure, Tools } from '../types.ts';

type Form = 'embedded' | 'stores';

interface Outcome {
  rate: number;
  /** Processor time per order in seconds, by component. */
  cpu: Record<string, number>;
}

async function measure(form: Form, { quick, say }: Tools): Promise<Outcome[]> {
  const stores = {
    RABBITMQ_URL: serverUrl('rabbitmq'),
    MONGODB_URL: serverUrl('mongodb'),
    ELASTICSEARCH_URL: serverUrl('elasticsearch'),
    REDIS_URL: serverUrl('redis'),
    CAUDAL_NAMESPACE: `bench_${process.pid}`,
  };
  const runtime = form === 'stores' ? await startRuntime(stores) : await startRuntime({}, { postgres: 'embedded' });
  const outcomes: Outcome[] = [];
  try {
    say(`${form}: products and customers`);
    const load = await openOrderLoad(runtime);
    say(`${form}: warm-up`);
    await load.run(quick ? 3 : 15);
    const rounds = quick ? 1 : 5;
    for (let round = 1; round <= rounds; round++) {
      say(`${form}: round ${round} of ${rounds}`);
      const began = performance.now();
      const before = cpuTimes();
      const confirmed = await load.run(quick ? 4 : 12);
      const used = cpuUsed(before, cpuTimes());
      const cpu = Object.fromEntries(Object.entries(used).map(([name, seconds]) => [name, seconds / confirmed]));
      outcomes.push({ rate: confirmed / ((performance.now() - began) / 1_000), cpu });
    }
    await load.settle();
    await load.close();
  } finally {
    await runtime.stop();
  }
  return outcomes;
}

export const orders: Bench = {
  name: 'orders',
  title: 'Whole orders',
  compares: `Orders of ${linesPerOrder} lines, paid from wallets, ${window} in flight at a time. Each is placed through gRPC, its prices are read, stock is reserved, paid and committed, the order is confirmed, its shipment is created, and all its views and mails are made. In one process on the embedded PostgreSQL, as "npm start" runs it, and in one process with all stores. No peer does all of this; the goals are what two cores should achieve. CPU: processor time per order in milliseconds, by component.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],

  async run(tools) {
    const bench = 'orders';
    const figures: Figure[] = [];
    for (const [form, goal] of [
      ['embedded', 300],
      ['stores', 110],
    ] as const) {
      const outcomes = await measure(form, tools);
      figures.push(
        figureOf(
          { bench, metric: form, unit: '/s', goal: { kind: 'atLeast', value: goal } },
          outcomes.map(({ rate }) => rate),
        ),
      );
      for (const component of Object.keys(outcomes[0]!.cpu)) {
        const ms = outcomes.map(({ cpu }) => cpu[component]! * 1_000);
        if (ms.some((value) => value > 0.01))
          figures.push(figureOf({ bench, metric: `${form}.cpu.${component}`, unit: 'ms' }, ms));
      }
    }
    return figures;
  },
};
