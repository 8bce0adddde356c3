/** Builders of multi-stream projections that are killed: the next one goes on in the logs' order. */
import { order, payment } from '@caudal/contract/entities.ts';
import type { Parking } from '@caudal/messaging/subscription/parking.ts';
import { expect, test } from '@jest/globals';
import { isUnfinished, readGenerations } from '../generations/generations.ts';
import { ensureBuilt, type RebuildOptions, rebuild } from '../generations/rebuild.ts';
import { collectionOf } from '../projector.ts';
import { cancelled, type Ordered, ordered, plainly, requested } from '../testing/gathered.ts';
import { memoryStore } from '../testing/memory-store.ts';
import { inShortPages, mortal } from '../testing/mortal.ts';
import { confirmed, created, poisonous, testLogs } from '../testing/projections.ts';

/** More than a lease lasts. */
const leaseMs = 10_000;

async function logsWith(orders: number) {
  const made = testLogs();
  const customers = ['ann', 'ben', 'cleo'];
  for (let n = 0; n < orders; n++) {
    await made.append(order, `${n}`, created(customers[n % 3]!, BigInt(n)));
    if (n % 2 === 0) await made.append(payment, `${n}`, requested(customers[n % 3]!));
    if (n % 5 === 0) await made.append(order, `${n - (n % 10)}`, n % 10 === 0 ? confirmed : cancelled);
  }
  return made;
}

function optionsOf(
  { logs }: Awaited<ReturnType<typeof logsWith>>,
  { onParked = () => {} }: { onParked?(): void } = {},
): RebuildOptions<Ordered> {
  const parked = new Map<string, Set<string>>();
  const parkedBy = (handler: string) => {
    const streams = parked.get(handler) ?? new Set();
    parked.set(handler, streams);
    return streams;
  };
  return {
    projection: ordered,
    store: memoryStore(),
    logs: inShortPages(logs, 10),
    bind: async () => {},
    filled: async () => {},
    release: async (handler) => void parked.delete(handler),
    parking: (handler): Parking => ({
      without: async (events) => events.filter(({ stream }) => !parkedBy(handler).has(stream)),
      async park([event]) {
        parkedBy(handler).add(event!.stream);
        onParked();
        return true;
      },
    }),
  };
}

async function viewsOf({ store, projection }: RebuildOptions<Ordered>, generation: number) {
  const documents = await collectionOf({ projection, store, generation }).scan({ limit: 1_000 });
  const live = documents.filter(({ view }) => view !== undefined);
  return Object.fromEntries(live.map(({ id, view }) => [id, projection.codec.fromJSON(view)]));
}

test('whichever call it was killed at', async () => {
  const made = await logsWith(40);
  const expected = plainly(made.all());
  let goneOn = 0;
  for (let dieAt = 1; ; dieAt++) {
    const options = optionsOf(made);
    const first = mortal({ dieAt, after: dieAt % 2 === 0 });
    const finished = ensureBuilt(first.process(options)).then(() => true);
    if (await Promise.race([finished, first.died.then(() => false)])) break;
    await ensureBuilt(mortal().process(options, leaseMs));
    const { last } = (await readGenerations(ordered, options.store))!;
    if (last === 1) goneOn += 1;
    expect(await viewsOf(options, last)).toEqual(expected);
  }
  expect(goneOn).toBeGreaterThan(20);
}, 60_000);

test('with a parked stream: the first generation goes on without it; a rebuild begins anew, since code may be mended', async () => {
  const made = await logsWith(20);
  await made.append(order, '3', poisonous);
  for (let n = 20; n < 60; n++) await made.append(order, `${n}`, created('dora', 1n));
  let onParked = () => {};
  let mended = false;
  // The same text: mended is what it calls.
  const projection = {
    ...ordered,
    gathers: ordered.gathers.map((gather) => ({
      ...gather,
      views: (event: Parameters<typeof gather.views>[0]) =>
        mended && event.event.$case === 'rejected' ? [] : gather.views(event),
    })),
  };
  const options = { ...optionsOf(made, { onParked: () => onParked() }), projection };
  async function killedWhileFilling(build: typeof ensureBuilt | typeof rebuild, aheadMs: number): Promise<void> {
    const builder = mortal();
    const process = builder.process(options, aheadMs);
    void build({
      ...process,
      onProgress({ domain, position = 0 }) {
        if (domain === 'orders' && position >= 60) builder.kill();
      },
    });
    await builder.died;
  }
  const last = async () => (await readGenerations(ordered, options.store))!.generations.at(-1)!;

  await killedWhileFilling(ensureBuilt, 0);
  await ensureBuilt(mortal().process(options, leaseMs));
  expect(await last()).toMatchObject({ number: 1, fed: true });
  const withoutParked = plainly(made.all(), ({ stream, version }) => stream === 'orders.order/3' && version >= 2);
  expect(await viewsOf(options, 1)).toEqual(withoutParked);

  // Before it could save that it has parked the stream.
  const parks = mortal();
  onParked = parks.kill;
  void rebuild(parks.process(options, 2 * leaseMs));
  await parks.died;
  await killedWhileFilling(rebuild, 3 * leaseMs);
  expect(isUnfinished(await last(), Date.now())).toBe(true);
  mended = true;
  const report = await rebuild(mortal().process(options, 4 * leaseMs));
  expect(report).toMatchObject({ generation: 4, replaced: 1, failedCount: 0 });
  expect(await viewsOf(options, 4)).toEqual(plainly(made.all()));
}, 60_000);
