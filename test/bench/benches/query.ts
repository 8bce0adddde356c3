/** The cost of a query, with a cache and without. */

import {
  CreateStockItemRequest,
  GetStockItemRequest,
  InventoryQueryServiceService,
  InventoryServiceService,
  StockItem,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { until } from '../../e2e/wait.ts';
import { startEcho } from '../echo.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { openRest } from '../http.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { startRuntime } from '../runtime.ts';
import type { Bench, Figure } from '../types.ts';

const bench = 'query';
const clients = 64;
/** These are read again and again, so all of them are cached. */
const few = 10;
/** More than can be read within the second for which a view is cached. */
const many = 30_000;

const productOf = (n: number) => `P-${n}`;

export const query: Bench = {
  name: 'query',
  title: 'GetStockItem through gRPC and REST',
  compares: `${clients} clients read the stock of a product. Token and permission are checked, and the view is read from the process's cache (${few} products) or from PostgreSQL (${many.toLocaleString('en')} products, none twice while its view would be cached). Compared with the bare grpc-js server of the benchmark before.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const runtime = await startRuntime({ CAUDAL_ROLES: 'command,query,projector', CAUDAL_CONTEXTS: 'inventory' });
    const { token, part, method } = runtime;
    const echo = await startEcho(token);
    const get = method(InventoryQueryServiceService.getStockItem.path, GetStockItemRequest, StockItem);
    const create = method(InventoryServiceService.createStockItem.path, CreateStockItemRequest, StockItem);
    const rest = openRest(part.rest, token);
    const seconds = quick ? 1 : 4;
    const figures: Figure[] = [];
    try {
      say(`${many} products`);
      await forEachConcurrent(Array(many).keys(), 500, async (n) => {
        await create.call({ requestId: '', productId: productOf(n), kind: '', policy: {}, quantity: 10n });
      });
      const last = () => get.call({ productId: productOf(many - 1), readMask: undefined });
      const isSeen = () =>
        last().then(
          () => true,
          () => false,
        );
      await until('the last product in the views', isSeen, Boolean, 60_000);
      let asked = 0;
      const next = () => ++asked * 7_919;
      const load = (work: () => Promise<unknown>) => () => closedLoop({ clients, seconds, work });
      const ask = (of: number) => get.call({ productId: productOf(next() % of), readMask: undefined });
      const fetch = (of: number) => rest.send('GET', `/v1/stock/${productOf(next() % of)}`);
      const request = { requestId: '', reservationId: '', lines: [], attributes: {}, ttl: undefined };
      const measured = await takeTurns(
        {
          'grpc.cached': load(() => ask(few)),
          'grpc.uncached': load(() => ask(many)),
          'rest.cached': load(() => fetch(few)),
          'rest.uncached': load(() => fetch(many)),
          echo: load(() => echo.call(request)),
        },
        { rounds: quick ? 1 : 5, say },
      );
      type Name = keyof typeof measured;
      const all = (name: Name, of: 'rate' | 'p50' | 'p99') => measured[name].map((each) => each[of]);
      for (const name of Object.keys(measured) as Name[]) {
        figures.push(
          figureOf({ bench, metric: name, unit: '/s' }, all(name, 'rate')),
          figureOf({ bench, metric: `${name}.p50`, unit: 'ms' }, all(name, 'p50')),
          figureOf({ bench, metric: `${name}.p99`, unit: 'ms' }, all(name, 'p99')),
        );
        if (name === 'echo') continue;
        const goal = name === 'grpc.cached' ? ({ kind: 'atLeast', value: 0.8 } as const) : undefined;
        figures.push(ratioOf({ bench, metric: `${name}.vs-echo`, goal }, all(name, 'rate'), all('echo', 'rate')));
      }
    } finally {
      for (const { close } of [get, create, rest]) close();
      echo.stop();
      await runtime.stop();
    }
    return figures;
  },
};
