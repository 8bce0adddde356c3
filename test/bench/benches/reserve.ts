/** The cost of a command from end to end. */
import {
  CreateStockItemRequest,
  InventoryServiceService,
  Reservation,
  ReserveStockRequest,
  StockItem,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { startEcho } from '../echo.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { openRest } from '../http.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { startRuntime } from '../runtime.ts';
import type { Bench, Figure } from '../types.ts';

const inFlight = [1, 64, 256];
const bench = 'reserve';

/** Each client has a product of its own, so that they share the log and not a stream. */
const productOf = (client: number) => `P-${client}`;
const lineOf = (client: number, line: number) => (line === 0 ? productOf(client) : `P-${client}-${line}`);
/** Of the comparison of 3 lines with one. */
const withLines = 64;

function request(client: number): ReserveStockRequest {
  const lines = [{ productId: productOf(client), quantity: 1n }];
  return { requestId: newId(), reservationId: newId(), lines, attributes: {}, ttl: { seconds: 900n, nanos: 0 } };
}

/** A reservation of three products of the client's own. */
function threeLines(client: number): ReserveStockRequest {
  const lines = [0, 1, 2].map((n) => ({ productId: lineOf(client, n), quantity: 1n }));
  return { ...request(client), lines };
}

/** In protobuf's JSON form. */
function jsonRequest(client: number): object {
  const { requestId, reservationId } = request(client);
  return { requestId, reservationId, lines: [{ productId: productOf(client), quantity: '1' }], ttl: '900s' };
}

export const reserve: Bench = {
  name: 'reserve',
  title: 'ReserveStock through gRPC and REST',
  compares:
    'Reserves one piece under a request id: token and permission are checked, the request is validated and decided, its event is in the log on disk, and the call is answered. Compared with a bare grpc-js server with the same messages that does none of this (test/bench/echo.ts), called by the same client. Client, service and PostgreSQL share the cores. Then reservations of 3 lines, a product each, are compared with those of one: by the processor time of the service and of all PostgreSQL on the machine.',
  needs: ['postgres'],

  async run({ quick, say }) {
    const runtime = await startRuntime({ CAUDAL_ROLES: 'command', CAUDAL_CONTEXTS: 'inventory' });
    const { token, part, method } = runtime;
    const echo = await startEcho(token);
    const { createStockItem, reserveStock } = InventoryServiceService;
    const service = method(reserveStock.path, ReserveStockRequest, Reservation);
    const create = method(createStockItem.path, CreateStockItemRequest, StockItem);
    const rest = openRest(part.rest, token);
    const seconds = quick ? 1 : 4;
    const figures: Figure[] = [];
    try {
      const products = Array.from({ length: Math.max(...inFlight) }, (_, client) => [
        productOf(client),
        ...(client < withLines ? [lineOf(client, 1), lineOf(client, 2)] : []),
      ]);
      for (const productId of products.flat())
        await create.call({ requestId: '', productId, kind: '', policy: {}, quantity: 100_000_000n });
      for (const clients of inFlight) {
        const load = (work: (client: number) => Promise<unknown>) => () => closedLoop({ clients, seconds, work });
        const measured = await takeTurns(
          {
            grpc: load((client) => service.call(request(client))),
            rest: load((client) => rest.send('POST', '/v1/reservations', jsonRequest(client))),
            echo: load((client) => echo.call(request(client))),
          },
          { rounds: quick ? 1 : 5, say: (what) => say(`${clients} in flight: ${what}`) },
        );
        const all = (name: keyof typeof measured, of: 'rate' | 'p50' | 'p99') => measured[name].map((each) => each[of]);
        for (const name of ['grpc', 'rest', 'echo'] as const)
          figures.push(
            figureOf({ bench, metric: `${name}.${clients}`, unit: '/s' }, all(name, 'rate')),
            figureOf({ bench, metric: `${name}.p50.${clients}`, unit: 'ms' }, all(name, 'p50')),
            figureOf({ bench, metric: `${name}.p99.${clients}`, unit: 'ms' }, all(name, 'p99')),
          );
        const metric = `grpc.vs-echo.${clients}`;
        const goal = clients === 64 ? ({ kind: 'atLeast', value: 0.6 } as const) : undefined;
        figures.push(
          ratioOf({ bench, metric, goal }, all('grpc', 'rate'), all('echo', 'rate')),
          ratioOf({ bench, metric: `rest.vs-echo.${clients}` }, all('rest', 'rate'), all('echo', 'rate')),
        );
      }
      const cpuOf = (of: (client: number) => ReserveStockRequest) => async () => {
        const before = cpuTimes();
        const { operations } = await closedLoop({
          ...{ clients: withLines, seconds },
          work: (client) => service.call(of(client)),
        });
        const { caudal, postgres } = cpuUsed(before, cpuTimes());
        return ((caudal! + postgres!) * 1_000) / operations;
      };
      const cpu = await takeTurns(
        { one: cpuOf(request), three: cpuOf(threeLines) },
        { rounds: quick ? 1 : 5, say: (what) => say(`lines: ${what}`) },
      );
      figures.push(
        figureOf({ bench, metric: 'cpu.1-line', unit: 'ms' }, cpu.one),
        figureOf({ bench, metric: 'cpu.3-lines', unit: 'ms' }, cpu.three),
        ratioOf({ bench, metric: 'cpu.3-lines.vs-1', goal: { kind: 'atMost', value: 1.5 } }, cpu.three, cpu.one),
      );
    } finally {
      for (const { close } of [service, create, rest]) close();
      echo.stop();
      await runtime.stop();
    }
    return figures;
  },
};
