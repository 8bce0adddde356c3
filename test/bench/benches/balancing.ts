/** What each policy of the gRPC client makes of one slow process among three. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { InventoryQueryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { Balancing } from '@caudal/rpc/client/balancing.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { until } from '../../e2e/wait.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, type Measured, takeTurns } from '../load.ts';
import type { Bench, Figure, Goal } from '../types.ts';

const bench = 'balancing';
const clients = 32;
const delaysMs = [10, 10, 100];
const slow = 2;
const script = fileURLToPath(new URL('../balanced-server.ts', import.meta.url));

const goals: Record<string, Goal> = {
  'least-requests.vs-round-robin': { kind: 'atLeast', value: 2 },
  'least-requests.slow-share': { kind: 'atMost', value: 10 },
  'weighted.vs-round-robin': { kind: 'atLeast', value: 1.8 },
  'weighted.slow-share': { kind: 'atMost', value: 6 },
};

interface Server {
  child: ChildProcess;
  address: string;
}

async function startServer(delayMs: number): Promise<Server> {
  const child = fork(script, [JSON.stringify({ delayMs })]);
  const [port] = (await once(child, 'message')) as [number];
  return { child, address: `127.0.0.1:${port}` };
}

async function callsOf({ child }: Server): Promise<number> {
  const answer = once(child, 'message');
  child.send('calls');
  const [calls] = (await answer) as [number];
  return calls;
}

/** The load with this policy, and the share of its calls that the slow process has got, in percent. */
async function measure(servers: Server[], balancing: Balancing, seconds: number) {
  const address = `ipv4:${servers.map((server) => server.address).join(',')}`;
  const { close, getStockItem } = connect(InventoryQueryServiceService, { address, balancing });
  let calls = 0;
  const work = () => {
    const correlationId = `flow-${calls++}`;
    const origin = { actor: 'bench', causationId: 'bench', correlationId, traceparent: '' };
    return getStockItem({ productId: 'P-1', readMask: undefined }, { origin });
  };
  const counted = () => Promise.all(servers.map(callsOf));
  try {
    const first = await counted();
    const areKnown = async () => {
      await work();
      return (await counted()).every((count, place) => count > first[place]!);
    };
    await until('a call at each process', areKnown, Boolean, 20_000);
    const before = await counted();
    const load = await closedLoop({ clients, seconds, work });
    const done = (await counted()).map((count, place) => count - before[place]!);
    return { ...load, slowShare: (100 * done[slow]!) / done.reduce((sum, count) => sum + count, 0) };
  } finally {
    close();
  }
}

export const balancing: Bench = {
  name: bench,
  title: 'Balancing with one slow process of three',
  compares: `${clients} calls in flight of one gRPC client of Caudal, to three processes that serve as Caudal does: two answer after ${delaysMs[0]} ms, one after ${delaysMs[slow]} ms. With the policies of CAUDAL_BALANCING: by turns, by least requests, by weights (the fast ones 10, the slow one 1) and by the hash of a header that is another one in each call. slow-share: how many of 100 calls the slow process gets. The gateway's policies are not measured here.`,
  needs: [],

  async run({ quick, say }) {
    const servers: Server[] = [];
    const seconds = quick ? 2 : 5;
    try {
      for (const delayMs of delaysMs) servers.push(await startServer(delayMs));
      const weights = Object.fromEntries(servers.map(({ address }, place) => [address, place === slow ? 1 : 10]));
      const run = (policy: Balancing) => () => measure(servers, policy, seconds);
      const measured = await takeTurns(
        {
          'round-robin': run({ policy: 'round-robin' }),
          'least-requests': run({ policy: 'least-requests' }),
          weighted: run({ policy: 'weighted', weights }),
          'consistent-hash': run({ policy: 'consistent-hash', header: 'caudal-correlation-id' }),
        },
        { rounds: quick ? 1 : 5, say },
      );
      type Name = keyof typeof measured;
      const all = (name: Name, of: keyof Measured | 'slowShare') => measured[name].map((each) => each[of]);
      return (Object.keys(measured) as Name[]).flatMap((name): Figure[] => {
        const of = (what: string, unit: string, values: number[]) =>
          figureOf({ bench, metric: `${name}${what}`, unit, goal: goals[`${name}${what}`] }, values);
        const ratio = `${name}.vs-round-robin`;
        return [
          of('', '/s', all(name, 'rate')),
          of('.p50', 'ms', all(name, 'p50')),
          of('.p99', 'ms', all(name, 'p99')),
          of('.slow-share', '%', all(name, 'slowShare')),
          ...(name === 'round-robin'
            ? []
            : [ratioOf({ bench, metric: ratio, goal: goals[ratio] }, all(name, 'rate'), all('round-robin', 'rate'))]),
        ];
      });
    } finally {
      for (const { child } of servers) child.kill('SIGKILL');
    }
  },
};
