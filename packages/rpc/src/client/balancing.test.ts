/** Balancing of the client: what a setting means, what each policy chooses, and calls to three servers. */
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { order, start, stopAll, token } from '../testing/fixture.ts';
import { type Client, service } from '../types.ts';
import { type Balancing, parseBalancing } from './balancing.ts';
import { type Address, choiceOf } from './choices.ts';
import { connect } from './client.ts';

describe('parseBalancing', () => {
  test.each<[string, Balancing]>([
    ['round-robin', { policy: 'round-robin' }],
    ['least-requests', { policy: 'least-requests' }],
    ['weighted:10.0.0.7=3', { policy: 'weighted', weights: { '10.0.0.7': 3 } }],
    [
      'weighted:10.0.0.7:9090=3, [fd00::1]=1000',
      { policy: 'weighted', weights: { '10.0.0.7:9090': 3, '[fd00::1]': 1_000 } },
    ],
    ['consistent-hash:caudal-correlation-id', { policy: 'consistent-hash', header: 'caudal-correlation-id' }],
  ])('reads %s', (text, expected) => {
    expect(parseBalancing(text)).toEqual(expected);
  });

  test.each([
    ['random', 'is none of'],
    ['', 'is none of'],
    ['least-requests:2', 'has nothing behind it'],
    ['weighted', 'is not ADDRESS=WEIGHT'],
    ['weighted:10.0.0.7=0', '"10.0.0.7=0" is not ADDRESS=WEIGHT, with a weight from 1 to 1000'],
    ['weighted:10.0.0.7=1001', 'is not ADDRESS=WEIGHT'],
    ['weighted:10.0.0.7=1,10.0.0.7=2', '"10.0.0.7" is there twice'],
    ['consistent-hash', 'has no header'],
    ['consistent-hash:X-Tenant', 'has no header in lower case'],
    ['consistent-hash:trace-bin', 'has no header'],
  ])('refuses "%s"', (text, message) => {
    expect(() => parseBalancing(text)).toThrow(message);
  });
});

describe('a choice', () => {
  const addresses = (...names: string[]): Address[] => names.map((name) => ({ name, inFlight: 0, credit: 0 }));
  const none = () => undefined;
  /** The names that `count` calls get. */
  const taken = (balancing: Balancing, of: Address[], count: number) => {
    const choose = choiceOf(balancing);
    return Array.from({ length: count }, () => choose(of, none).name);
  };

  test('by turns takes each as often', () => {
    expect(taken({ policy: 'round-robin' }, addresses('a', 'b', 'c'), 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  test('by least requests takes the one with the fewest, and of equals each in turn', () => {
    const of = addresses('a', 'b', 'c');
    const choose = choiceOf({ policy: 'least-requests' });
    of[0]!.inFlight = 2;
    of[2]!.inFlight = 1;
    expect(choose(of, none).name).toBe('b');
    for (const address of of) address.inFlight = 1;
    expect(new Set(Array.from({ length: 3 }, () => choose(of, none).name)).size).toBe(3);
  });

  test('by weights keeps to them, well mixed; with a port or without, and 1 where there is none', () => {
    const weights = { 'a:1': 3, b: 2 };
    expect(
      taken({ policy: 'weighted', weights }, addresses('a:1', 'b:1', 'c:1'), 6)
        .sort()
        .join(),
    ).toBe('a:1,a:1,a:1,b:1,b:1,c:1');
    expect(taken({ policy: 'weighted', weights: { a: 2 } }, addresses('a:1', 'b:1'), 6).join()).toBe(
      'a:1,b:1,a:1,a:1,b:1,a:1',
    );
  });

  test('by a hash takes one for each value, all alike; when one goes only its values move', () => {
    const choose = choiceOf({ policy: 'consistent-hash', header: 'tenant' });
    const values = Array.from({ length: 3_000 }, (_, n) => `tenant-${n}`);
    const all = addresses('10.0.0.1:9090', '10.0.0.2:9090', '10.0.0.3:9090');
    const placesOf = (of: Address[]) => values.map((value) => choose(of, () => value).name);
    const before = placesOf(all);
    expect(placesOf(all.toReversed())).toEqual(before);
    for (const { name } of all) {
      const share = before.filter((place) => place === name).length;
      expect(share).toBeGreaterThan(800);
      expect(share).toBeLessThan(1_200);
    }
    const after = placesOf(all.slice(0, 2));
    expect(before.filter((place, n) => place !== after[n] && place !== all[2]!.name)).toEqual([]);
  });

  test('by a hash takes each in turn for calls without the header', () => {
    expect(taken({ policy: 'consistent-hash', header: 'tenant' }, addresses('a', 'b'), 4)).toEqual([
      'a',
      'b',
      'a',
      'b',
    ]);
  });
});

describe('calls to three servers', () => {
  const auth = () => token('alice', ['orders.orders.read']);
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });
  afterAll(stopAll);

  /** Servers that count their calls, and a client of all of them. `answer`: what the server with this place does first. */
  async function open(balancing: Balancing, answer: (place: number) => Promise<void> = async () => {}) {
    const calls = [0, 0, 0];
    const servers = await Promise.all(
      calls.map((_, place) =>
        start({}, [
          service(OrderQueryServiceService, {
            async getOrder({ orderId }, call) {
              calls[place]!++;
              call.authorize('alice');
              await answer(place);
              return order({ orderId });
            },
            listOrders: async () => ({ orders: [], nextPageToken: '' }),
            summarizeOrders: async () => ({ groups: [], more: false }),
          }),
        ]),
      ),
    );
    const address = `ipv4:${servers.map((server) => server.address).join(',')}`;
    const client = connect(OrderQueryServiceService, { address, auth, balancing });
    closing.push(client.close);
    return { calls, client, servers };
  }

  type Queries = Client<typeof OrderQueryServiceService>;
  const get = (client: Queries, correlationId = 'c') =>
    client.getOrder(
      { orderId: 'o-1', readMask: undefined },
      { timeoutMs: 30_000, origin: { actor: 'alice', causationId: 'x', correlationId, traceparent: '' } },
    );
  /** Connections are opened one after another: calls until each server has had one; then counts anew. */
  async function warm({ calls, client }: { calls: number[]; client: Queries }): Promise<void> {
    let number = 0;
    await until(async () => {
      await get(client, `warm-${number++}`);
      return calls.every((count) => count > 0);
    });
    calls.fill(0);
  }

  test('round robin gives each as many', async () => {
    const opened = await open({ policy: 'round-robin' });
    await warm(opened);
    for (let n = 0; n < 30; n++) await get(opened.client);
    expect(opened.calls).toEqual([10, 10, 10]);
  });

  test('least requests give little to one that does not answer', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    let isHolding = false;
    const opened = await open({ policy: 'least-requests' }, async (place) => {
      if (place === 2 && isHolding) await held;
    });
    await warm(opened);
    isHolding = true;
    let answered = 0;
    const clients = Array.from({ length: 4 }, async () => {
      while (answered < 100) {
        await get(opened.client);
        answered++;
      }
    });
    try {
      // By turns all four clients would wait for it by now.
      await until(() => answered >= 100, 20_000);
      expect(opened.calls[2]).toBeGreaterThan(0);
      expect(opened.calls[2]).toBeLessThanOrEqual(2);
    } finally {
      release();
      await Promise.all(clients);
    }
  });

  test('least requests are not drawn to one that refuses at once', async () => {
    let isRefusing = false;
    const opened = await open({ policy: 'least-requests' }, async (place) => {
      if (place === 2 && isRefusing) throw unavailable('PostgreSQL');
      await new Promise((resolve) => setTimeout(resolve, 10));
    });
    await warm(opened);
    isRefusing = true;
    let failed = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let n = 0; n < 25; n++)
          await get(opened.client).catch(() => {
            failed++;
          });
      }),
    );
    // Of 200 calls, and for each second that they take some: it counts as busy.
    expect(opened.calls[2]).toBeGreaterThan(0);
    expect(opened.calls[2]).toBeLessThan(60);
    expect(failed).toBeLessThan(20);
  });

  test('weights are kept', async () => {
    const servers = await open({ policy: 'round-robin' });
    const [heavy] = servers.servers;
    const address = `ipv4:${servers.servers.map((server) => server.address).join(',')}`;
    const balancing: Balancing = { policy: 'weighted', weights: { [heavy!.address]: 4 } };
    const client = connect(OrderQueryServiceService, { address, auth, balancing });
    closing.push(client.close);
    await warm({ calls: servers.calls, client });
    for (let n = 0; n < 120; n++) await get(client);
    // What was saved up while the connections were opened shifts the turns by a few.
    const expected = [80, 20, 20];
    for (const [place, count] of servers.calls.entries()) expect(Math.abs(count - expected[place]!)).toBeLessThan(8);
  });

  test('a hash sends calls with one value to one server, also after another one has gone', async () => {
    const opened = await open({ policy: 'consistent-hash', header: 'caudal-correlation-id' });
    await warm(opened);
    const placeOf = async (value: string) => {
      opened.calls.fill(0);
      for (let n = 0; n < 3; n++) await get(opened.client, value);
      expect([...opened.calls].sort()).toEqual([0, 0, 3]);
      return opened.calls.indexOf(3);
    };
    const values = Array.from({ length: 12 }, (_, n) => `flow-${n}`);
    const before = new Map<string, number>();
    for (const value of values) before.set(value, await placeOf(value));
    const gone = before.get('flow-0')!;
    await opened.servers[gone]!.stop();
    for (const [value, place] of before) if (place !== gone) expect(await placeOf(value)).toBe(place);
    // Its own values have another place, which they keep.
    const moved = await placeOf('flow-0');
    expect(moved).not.toBe(gone);
    expect(await placeOf('flow-0')).toBe(moved);
  });

  test('a server that has gone gets no calls, and one that returns gets some again', async () => {
    const opened = await open({ policy: 'least-requests' });
    await warm(opened);
    const [first] = opened.servers;
    await first!.stop();
    for (let n = 0; n < 10; n++) await get(opened.client);
    expect(opened.calls[0]).toBe(0);
    const again = await start({ grpc: { host: '127.0.0.1', port: first!.grpcPort } }, [
      service(OrderQueryServiceService, {
        async getOrder({ orderId }, call) {
          opened.calls[0]!++;
          call.authorize('alice');
          return order({ orderId });
        },
        listOrders: async () => ({ orders: [], nextPageToken: '' }),
        summarizeOrders: async () => ({ groups: [], more: false }),
      }),
    ]);
    await until(async () => {
      await get(opened.client);
      return opened.calls[0]! > 0;
    }, 20_000);
    await again.stop();
  });
});
