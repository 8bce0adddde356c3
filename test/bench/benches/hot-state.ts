/** Whether the state of a product that sells, and of a wallet that pays, stays as it is. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '@caudal/postgres/database.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { figureOf, ratioOf } from '../figures.ts';
import type { HotState } from '../hot-state.ts';
import { migrateLog } from '../log.ts';
import type { Bench, Figure, Tools } from '../types.ts';

const bench = 'hot-state';
const heapMib = 96;

/** Runs a step of ../hot-state.ts in a process of its own, with a small heap. */
function run(url: string, step: string[]): Promise<HotState> {
  const script = fileURLToPath(new URL('../hot-state.ts', import.meta.url));
  const child = fork(script, [url, ...step], { execArgv: [`--max-old-space-size=${heapMib}`, '--expose-gc'] });
  return new Promise((resolve, reject) => {
    child.on('message', (message) => resolve(message as HotState)).on('error', reject);
    child.on('exit', (code, signal) => reject(new Error(`${step.join(' ')} ended with ${signal ?? code}.`)));
  });
}

async function snapshotKb(url: string, schema: string, stream: string): Promise<number> {
  const database = openDatabase({ url, schema, poolSize: 1 });
  const [row] = await database.query<{ bytes: number }>({
    text: 'SELECT length(data) AS bytes FROM snapshots WHERE stream = $1',
    values: [stream],
  });
  await database.close();
  return (row?.bytes ?? 0) / 1_000;
}

async function measure(kind: string, schema: string, stream: string, count: number): Promise<Figure[]> {
  const fresh = await freshDatabase();
  try {
    await migrateLog(fresh.url, schema);
    const { heaps, rate } = await run(fresh.url, [schema, 'grow', String(count)]);
    const { loads } = await run(fresh.url, [schema, 'load']);
    const few = figureOf({ bench, metric: `${kind}.heap`, unit: 'MiB' }, [heaps[0]!]);
    const many = figureOf({ bench, metric: `${kind}.heap.10x`, unit: 'MiB' }, [heaps[1]!]);
    return [
      few,
      many,
      ratioOf({ bench, metric: `${kind}.heap-growth`, goal: { kind: 'atMost', value: 1.1 } }, [heaps[1]!], [heaps[0]!]),
      figureOf({ bench, metric: `${kind}.cold-load`, unit: 'ms', goal: { kind: 'atMost', value: 20 } }, loads),
      figureOf({ bench, metric: `${kind}.snapshot`, unit: 'kB', goal: { kind: 'atMost', value: 64 } }, [
        await snapshotKb(fresh.url, schema, stream),
      ]),
      figureOf({ bench, metric: `${kind}.rate`, unit: '/s' }, [rate]),
    ];
  } finally {
    await fresh.drop();
  }
}

export const hotState: Bench = {
  name: bench,
  title: 'The state of what is used most',
  compares: `One process with a heap of ${heapMib} MiB reserves and commits one piece of one product again and again, 256 at a time. Its heap after ten times as many sales (500,000; with --long 5,000,000) is compared with its heap after a tenth of them, each after a collection of garbage. Then another process loads the product, with an empty cache. The same for a wallet that pays a fifth as often.`,
  needs: ['postgres'],

  async run({ quick, long, say }: Tools) {
    const least = quick ? 2_000 : 50_000;
    const count = long ? 500_000 : least;
    say(`${count * 10} sales of one product`);
    const stock = await measure('stock', 'inventory', 'inventory.stock/HOT', count);
    say(`${count * 2} payments from one wallet`);
    const wallet = await measure('wallet', 'payments', 'payments.wallet/HOT', count / 5);
    return [...stock, ...wallet];
  },
};
