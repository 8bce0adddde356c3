/** Processes that contend for one product. */
import { testCall } from '@caudal/testing/call.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { contend } from '../contenders.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { migrateInventory, openInventory } from '../inventory.ts';
import { type Measured, takeTurns } from '../load.ts';
import type { Bench, Goal, Tools } from '../types.ts';

const clients = 128;
const plenty = 100_000_000n;
const longest: Goal = { kind: 'atMost', value: 300 };

export const contention: Bench = {
  name: 'contention',
  title: 'Processes that contend for one product',
  compares: `${clients} clients reserve one piece each of the same product, again and again: in one process, and shared out over 2, 4 and 8 processes, each with a gRPC port at which it takes the calls that others forward (docs/owners.md). All clients call within their process, through the whole pipeline. The longest wait includes the moment at which the owner is found.`,
  needs: ['postgres'],

  async run({ quick, say }: Tools) {
    const fresh = await freshDatabase();
    await migrateInventory(fresh.url);
    const inventory = openInventory(fresh.url, 4);
    let products = 0;
    const among = (processes: number) => async (): Promise<Measured> => {
      const productId = `P-${products++}`;
      await inventory.api.createStockItem(
        { requestId: '', productId, kind: '', policy: {}, quantity: plenty },
        testCall(),
      );
      return contend(processes, { url: fresh.url, productId, clients, warmSeconds: 3, seconds: quick ? 4 : 8 });
    };
    try {
      const measured = await takeTurns(
        { one: among(1), two: among(2), four: among(4), eight: among(8) },
        { rounds: quick ? 1 : 5, say },
      );
      const bench = 'contention';
      const rates = (name: keyof typeof measured) => measured[name].map(({ rate }) => rate);
      const waits = (name: keyof typeof measured) => measured[name].map(({ max }) => max);
      const vsOne = (name: keyof typeof measured, value: number) =>
        ratioOf({ bench, metric: `${name}.vs-one`, goal: { kind: 'atLeast', value } }, rates(name), rates('one'));
      return [
        figureOf({ bench, metric: 'one', unit: '/s' }, rates('one')),
        figureOf({ bench, metric: 'eight', unit: '/s' }, rates('eight')),
        vsOne('two', 0.8),
        vsOne('four', 0.7),
        vsOne('eight', 0.6),
        figureOf({ bench, metric: 'one.max', unit: 'ms' }, waits('one')),
        figureOf({ bench, metric: 'two.max', unit: 'ms', goal: longest }, waits('two')),
        figureOf({ bench, metric: 'four.max', unit: 'ms', goal: longest }, waits('four')),
        figureOf({ bench, metric: 'eight.max', unit: 'ms', goal: longest }, waits('eight')),
      ];
    } finally {
      await inventory.close();
      await fresh.drop();
    }
  },
};
