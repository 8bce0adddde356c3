/** Builders that are killed, stopped or overtaken: the next one goes on, and the result is the same. */
import { order, payment } from '@caudal/contract/entities.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { createRandom } from '@caudal/testing/random.ts';
import { until } from '@caudal/testing/until.ts';
import { describe, expect, test } from '@jest/globals';
import type { AnyProjection } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import { memoryStore } from '../testing/memory-store.ts';
import { countingEvents, inShortPages, mortal } from '../testing/mortal.ts';
import {
  confirmed,
  created,
  type Details,
  details,
  poison,
  poisonous,
  succeeded,
  testLogs,
} from '../testing/projections.ts';
import { rebuildPlace, storeNames } from '../testing/rebuild.ts';
import type { Projection } from '../types.ts';
import { dropExpired } from './follow-generations.ts';
import { progressOf } from './generation.ts';
import { readGenerations } from './generations.ts';
import { ensureBuilt, type RebuildOptions, rebuild } from './rebuild.ts';

/** More than a lease lasts. */
const leaseMs = 10_000;
const hourMs = 3_600_000;

async function logsWith(orders: number) {
  const made = testLogs();
  for (let n = 0; n < orders; n++) await made.append(order, `${n}`, created('ann', BigInt(n)));
  for (let n = 0; n < orders; n++) {
    await made.append(order, `${n}`, confirmed);
    if (n % 3 === 0) await made.append(payment, `${n}`, succeeded);
  }
  return made;
}

type Logs = Awaited<ReturnType<typeof logsWith>>;

function optionsOf<V>(projection: AnyProjection<V>, { logs }: Logs, pageSize: number, store = memoryStore()) {
  const bound: string[] = [];
  const filled: ReadonlyMap<string, number>[] = [];
  const options: RebuildOptions<V> = {
    projection,
    store,
    logs: inShortPages(logs, pageSize),
    bind: async ({ name }) => void bound.push(name),
    filled: async (_, positions) => void filled.push(positions),
    release: async () => {},
  };
  return { options, bound, filled };
}

async function documents<V>({ store, projection }: RebuildOptions<V>, generation: number) {
  const collection = collectionOf({ projection, store, generation });
  await collection.refresh();
  const all = await collection.scan({ limit: 10_000 });
  return all.map(({ id, streams, view }) => ({ id, streams, view })).sort((a, b) => (a.id < b.id ? -1 : 1));
}

const recordOf = <V>({ projection, store }: RebuildOptions<V>) => readGenerations(projection, store);

/** The generation that queries read, or will within seconds. */
async function builtOf<V>(options: RebuildOptions<V>, givenUp?: number): Promise<number> {
  const { generations, last } = (await recordOf(options))!;
  const built = generations.filter(({ from }) => from !== undefined);
  expect(built.map(({ number }) => number)).toEqual([last]);
  if (givenUp !== undefined) expect(generations).toHaveLength(1 + givenUp);
  expect(built[0]).toEqual({ number: last, fed: true, from: expect.any(Number) });
  return last;
}

async function hasProgress<V>(options: RebuildOptions<V>, generation: number): Promise<boolean> {
  const progress = progressOf({ ...options, generation });
  return (await progress.load(['progress']).catch(() => [])).length > 0;
}

describe('a builder that is killed', () => {
  test.each([false, true])(
    'at any call (after it: %s): the next one finishes, with the same views',
    async (after) => {
      const made = await logsWith(60);
      const whole = optionsOf(details, made, 40);
      await ensureBuilt(whole.options);
      const expected = await documents(whole.options, 1);
      let goneOn = 0;
      for (let dieAt = 1; ; dieAt++) {
        const { options } = optionsOf(details, made, 40);
        const first = mortal({ dieAt, after });
        const finished = ensureBuilt(first.process(options)).then(() => true);
        if (await Promise.race([finished, first.died.then(() => false)])) break;
        const built = await ensureBuilt(mortal().process(options, leaseMs));
        const generation = await builtOf(options);
        if (built && generation === 1) goneOn += 1;
        // The last calls are behind the switch: what is left there goes with the generation.
        if (built) expect(await hasProgress(options, generation)).toBe(false);
        expect(await documents(options, generation)).toEqual(expected);
      }
      expect(goneOn).toBeGreaterThan(40);
    },
    60_000,
  );

  test('costs a small part of the work, wherever it was killed, and however often', async () => {
    const made = await logsWith(4_000);
    const total = made.all().length;
    const random = createRandom(3, 'kill');
    const expected = optionsOf(details, made, 100);
    await ensureBuilt(expected.options);
    for (const kills of [[0.7], [0.1], [0.95], [0.3, 0.5, 0.9], [random.int(1, 99) / 100]]) {
      const { projection, handled } = countingEvents(details);
      const { options } = optionsOf(projection, made, 100);
      for (const [turn, share] of kills.entries()) {
        const builder = mortal();
        void ensureBuilt(builder.process(options, turn * leaseMs));
        await until(() => handled() >= share * total);
        builder.kill();
      }
      await ensureBuilt(mortal().process(options, kills.length * leaseMs));
      expect(await documents(options, await builtOf(options))).toEqual(await documents(expected.options, 1));
      // Of these, some are for the check of a sample at the end.
      const checked = 2 * 500;
      expect(handled()).toBeLessThanOrEqual((1 + 0.1 * kills.length) * total + checked);
      expect(handled()).toBeGreaterThanOrEqual(total);
    }
  }, 60_000);
});

describe('a builder that goes on', () => {
  /** Built up to about a share of the events, then killed. */
  async function leftAt(share: number, { options, made }: { options: RebuildOptions<never>; made: Logs }) {
    const builder = mortal();
    let last = 0;
    const total = made.all().length;
    const process = builder.process(options);
    void ensureBuilt({
      ...process,
      onProgress({ position = 0 }) {
        last = Math.max(last, position);
        if (last >= share * total) builder.kill();
      },
    });
    await builder.died;
    return builder;
  }

  const anyOptions = <V>(options: RebuildOptions<V>) => options as unknown as RebuildOptions<never>;

  test('judges events again that failed before; if they can be handled now, nothing is missing', async () => {
    const made = await logsWith(400);
    await made.append(order, '7', poisonous, confirmed);
    await made.append(order, '9', poisonous);
    for (let n = 400; n < 900; n++) await made.append(order, `${n}`, created('ben'));
    const whole = optionsOf(details, made, 50);
    await ensureBuilt(whole.options);
    for (const isMended of [false, true]) {
      let mended = false;
      // The same text: mended is what it calls.
      const projection: Projection<Details> = {
        ...details,
        follows: details.follows.map((follow) => ({
          ...follow,
          evolve: (view, event) =>
            mended && event.event.$case === 'rejected' ? { ...view!, status: poison } : follow.evolve(view, event),
        })),
      };
      const { options, filled } = optionsOf<Details>(projection, made, 50);
      await leftAt(0.8, { options: anyOptions(options), made });
      mended = isMended;
      await ensureBuilt(mortal().process(options, leaseMs));
      const generation = await builtOf(options, 0);
      const found = await documents(options, generation);
      expect(found).toHaveLength(900);
      const seven = found.find(({ id }) => id === '7')!;
      if (!isMended) {
        expect(found).toEqual(await documents(whole.options, 1));
        // Consumers begin before the first of them, so that it becomes a dead letter.
        expect(filled).toEqual(whole.filled);
        expect(seven.streams['orders.order/7']).toBe(2);
      } else {
        expect(seven.streams['orders.order/7']).toBe(4);
        expect(found.find(({ id }) => id === '9')!.view).toMatchObject({ status: poison });
      }
    }
  });

  test('begins another generation if its code is another one, if texts are cut differently, or if it is told to', async () => {
    const made = await logsWith(100);
    const { options } = optionsOf(details, made, 20);
    await leftAt(0.5, { options: anyOptions(options), made });
    const changed = { ...details, codec: { ...details.codec, toJSON: (view: Details) => details.codec.toJSON(view) } };
    const second = mortal().process({ ...options, projection: changed }, leaseMs);
    await leftAt(0.5, { options: anyOptions(second), made });
    expect((await recordOf(options))!.last).toBe(2);
    const store = { ...options.store, analysis: 'another' };
    const third = mortal().process({ ...options, store, projection: changed }, 2 * leaseMs);
    await leftAt(0.5, { options: anyOptions(third), made });
    expect((await recordOf(options))!.last).toBe(3);
    await ensureBuilt({ ...mortal().process({ ...options, projection: changed }, 3 * leaseMs), anew: true });
    expect(await builtOf(options, 3)).toBe(4);
  });

  test('begins another generation if the log has lost its end, or if nothing of its own is there', async () => {
    const made = await logsWith(300);
    const { options } = optionsOf(details, made, 50);
    await leftAt(0.7, { options: anyOptions(options), made });
    // A log of the same streams that ends earlier, as after a fail-over.
    const shorter = await logsWith(200);
    await ensureBuilt(mortal().process({ ...options, logs: shorter.logs }, leaseMs));
    expect(await builtOf(options, 1)).toBe(2);
    expect(await documents(options, 2)).toHaveLength(200);

    const lost = optionsOf(details, made, 50);
    await leftAt(0.7, { options: anyOptions(lost.options), made });
    await progressOf({ ...lost.options, generation: 1 }).drop();
    await ensureBuilt(mortal().process(lost.options, leaseMs));
    expect(await builtOf(lost.options, 1)).toBe(2);
    expect(await documents(lost.options, 2)).toHaveLength(300);
  });

  test('comes within an hour; what is left longer is dropped as any other', async () => {
    const made = await logsWith(100);
    const { options } = optionsOf(details, made, 20);
    await leftAt(0.5, { options: anyOptions(options), made });
    const [left] = (await recordOf(options))!.generations;
    const wait = left!.until! - Date.now();
    expect(wait).toBeGreaterThan(hourMs - 60_000);
    const released: string[] = [];
    const release = async (handler: string) => void released.push(handler);
    await ensureBuilt({ ...mortal().process(options, wait + 1_000), release });
    expect(await builtOf(options, 1)).toBe(2);
    expect(released).toEqual(['test-details.v1.2']);
    const later = { ...mortal().process(options, wait + 62_000), release };
    await dropExpired({ ...later, record: (await recordOf(options))!, now: later.clock!().getTime() });
    expect(released).toContain('test-details.v1.1');
    expect((await recordOf(options))!.generations).toHaveLength(1);
  });

  test('is refused while another one builds, and waits for one that was killed', async () => {
    const made = await logsWith(100);
    const { options } = optionsOf(details, made, 20);
    await ensureBuilt(options);
    let goOn = () => {};
    const waiting = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const building = rebuild({ ...options, filled: () => waiting });
    await until(async () => (await recordOf(options))!.builder !== undefined);
    await expect(rebuild(options)).rejects.toMatchObject({ code: 'ABORTED', reason: 'REBUILD_RUNNING' });
    goOn();
    await building;

    const killed = mortal();
    void rebuild({ ...killed.process(options), filled: async () => killed.kill() });
    await killed.died;
    const began = performance.now();
    const report = await rebuild(options);
    expect(report.generation).toBe(3);
    expect(performance.now() - began).toBeLessThan(30_000);
  }, 60_000);

  test('that was only thought dead is refused, and harms nothing', async () => {
    const made = await logsWith(2_000);
    const { options } = optionsOf(details, made, 50);
    const whole = optionsOf(details, made, 50);
    await ensureBuilt(whole.options);
    // Its lease is over for the other, whose clock is ahead; it does not notice before it next saves or renews.
    const first = ensureBuilt(options).then(
      (built) => ({ built }),
      (error: unknown) => ({ error }),
    );
    await until(async () => hasProgress(options, 1));
    const second = await ensureBuilt(mortal().process(options, leaseMs));
    expect(second).toBe(true);
    expect(await builtOf(options, 0)).toBe(1);
    // It waits for the other as any that comes later.
    expect(await first).toEqual({ built: false });
    expect(await documents(options, 1)).toEqual(await documents(whole.options, 1));
  });
});

for (const name of storeNames) {
  describeWith([name], `builders that are stopped or killed on ${name}`, () => {
    const { setUp } = rebuildPlace(name);

    test('cost a small part of the work', async () => {
      const made = await logsWith(900);
      const total = made.all().length;
      const { projection: counted, handled } = countingEvents(details);
      const { options, projection, bound } = setUp(counted, made);
      const short = { ...options, logs: inShortPages(made.logs, 70) };
      const stopping = new AbortController();
      const stopped = ensureBuilt({ ...short, signal: stopping.signal });
      await until(() => handled() >= 0.4 * total, 60_000);
      stopping.abort();
      // A process that is stopped releases its lease.
      await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
      const killed = mortal();
      void ensureBuilt(killed.process(short));
      await until(() => handled() >= 0.7 * total, 60_000);
      killed.kill();
      await ensureBuilt(mortal().process(short, leaseMs));
      expect(new Set(bound)).toEqual(new Set([`test-details.v${projection.version}.1`]));
      expect(handled()).toBeLessThanOrEqual(1.2 * total + 1_000);
      const whole = optionsOf(details, made, 1_000);
      await ensureBuilt(whole.options);
      expect(await documents(options, await builtOf(options))).toEqual(await documents(whole.options, 1));
    }, 120_000);
  });
}
