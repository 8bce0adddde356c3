/** Gauges that are read at a scrape, over the real exporter. */
import { sleep } from '@caudal/kernel/time.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { checkGauge, type ObserveOptions, observeGauge, type Sample } from './observed-gauge.ts';
import { startTelemetry, type Telemetry } from './start.ts';

let telemetry: Telemetry;
beforeAll(async () => {
  const prometheus = { host: '127.0.0.1', port: 0 };
  telemetry = await startTelemetry({ serviceName: 'caudal-test', serviceVersion: '1', role: 'jobs', prometheus });
});
afterAll(() => telemetry.stop());

const scrape = async () => (await fetch(`http://127.0.0.1:${telemetry.prometheusPort}/metrics`)).text();

describe('a gauge', () => {
  let count = 0;
  let name: string;
  let stop = async () => {};
  afterEach(() => stop());

  /** Observes a gauge with a name of its own. Gives its lines in a scrape. */
  function observe(read: ObserveOptions['read'], more: Partial<ObserveOptions> = {}) {
    const letters = [...String(count++)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
    name = `orders_${letters}_open`;
    const observed = observeGauge({ name, description: 'A test.', unit: '1', read, scrapeWaitMs: 50, ...more });
    stop = () => observed.stop();
  }
  const values = async () =>
    (await scrape())
      .split('\n')
      .filter((line) => line.startsWith(name))
      .map((line) => line.slice(name.length).trim());
  const failures = async () =>
    Number(new RegExp(`^gauge_read_failures_total\\{gauge="${name}"\\} (\\d+)$`, 'm').exec(await scrape())?.[1] ?? 0);
  async function until<T>(read: () => Promise<T>, expected: T): Promise<void> {
    const deadline = performance.now() + 5_000;
    while (JSON.stringify(await read()) !== JSON.stringify(expected) && performance.now() < deadline) await sleep(10);
    expect(await read()).toEqual(expected);
  }

  test('is read at a scrape, and the reading is reused for `reuseMs`', async () => {
    let reads = 0;
    observe(async () => ++reads, { reuseMs: 300 });
    expect(reads).toBe(0);
    // Before the first reading: its scrape may take as long as the others.
    const first = performance.now();
    expect(await values()).toEqual(['1']);
    // If they take longer than `reuseMs`, they take one more reading at most.
    await Promise.all(Array.from({ length: 20 }, values));
    expect(reads).toBeLessThanOrEqual(1 + Math.floor((performance.now() - first) / 300));
    await until(async () => {
      const [shown] = await values();
      return reads >= 2 && shown === String(reads);
    }, true);
  });

  test('has a series for each value of its label', async () => {
    const sample = (kind: string, value: number): Sample => ({ labels: { kind }, value });
    observe(async () => [sample('standard', 3), sample('premium', 0)], { labels: ['kind'] });
    expect((await values()).sort()).toEqual(['{kind="premium"} 0', '{kind="standard"} 3']);
  });

  test('that is slow does not delay the scrape; its value is in the next one', async () => {
    observe(() => sleep(1_500).then(() => 7), { timeoutMs: 5_000 });
    const began = performance.now();
    expect(await values()).toEqual([]);
    expect(performance.now() - began).toBeLessThan(1_400);
    await until(values, ['7']);
    expect(await failures()).toBe(0);
  });

  test('that takes too long is aborted and counted, and not read again until the reading has ended', async () => {
    let reads = 0;
    let aborted = 0;
    let release = () => {};
    observe(
      async (signal) => {
        reads += 1;
        signal.addEventListener('abort', () => aborted++);
        await new Promise<void>((resolve) => (release = resolve));
        return 1;
      },
      { timeoutMs: 30, reuseMs: 60 },
    );
    await values();
    await until(async () => aborted, 1);
    await until(async () => (await values()).length === 0 && (await failures()) >= 3, true);
    expect(reads).toBe(1);
    release();
    await until(async () => (await values()).length === 0 && reads === 2, true);
    release();
  });

  test('whose readings fail keeps its last value for `keepMs`, then has none until a reading succeeds', async () => {
    let error: Error | undefined;
    observe(
      async () => {
        if (error) throw error;
        return 5;
      },
      { reuseMs: 20, keepMs: 400 },
    );
    expect(await values()).toEqual(['5']);
    error = new Error('no database');
    await until(async () => (await failures()) > 0, true);
    await until(values, []);
    error = undefined;
    await until(values, ['5']);
  });

  test.each<[string, ObserveOptions['read'], Partial<ObserveOptions>]>([
    [
      'too many series',
      async () => [1, 2, 3].map((n) => ({ labels: { kind: `k${n}` }, value: n })),
      { labels: ['kind'], maxSeries: 2 },
    ],
    ['labels that are not declared', async () => [{ labels: { order: '1' }, value: 1 }], { labels: ['kind'] }],
    ['a series twice', async () => [1, 2].map((value) => ({ labels: { kind: 'a' }, value })), { labels: ['kind'] }],
    ['a label that is too long', async () => [{ labels: { kind: 'x'.repeat(65) }, value: 1 }], { labels: ['kind'] }],
    ['a value that is not a number', async () => Number.NaN, {}],
  ])('with %s is a failure', async (_, read, more) => {
    observe(read, more);
    expect(await values()).toEqual([]);
    expect(await failures()).toBe(1);
  });

  test('that is stopped is neither read nor shown', async () => {
    let reads = 0;
    observe(async () => ++reads, { reuseMs: 0 });
    expect(await values()).toEqual(['1']);
    await stop();
    expect(await values()).toEqual([]);
    expect(reads).toBe(1);
  });
});

test.each<[Partial<ObserveOptions>, RegExp]>([
  [{ name: 'pending_oldest_seconds' }, /must begin with "orders_"/],
  [{ name: 'orders_oldestSeconds' }, /lower-case words/],
  [{ name: 'orders_oldest_minutes' }, /base unit/],
  [{ name: 'orders_placed_total', unit: '1' }, /base unit/],
  [{ name: 'orders_oldest' }, /must end with "_seconds"/],
  [{ unit: '1' }, /unit must be that of its name/],
  [{ labels: ['order_id'] }, /label "order_id" is an id/],
  [{ labels: ['Kind'] }, /label "Kind" must be lower-case/],
])('a wrong declaration is refused: %j', (wrong, message) => {
  const right = { name: 'orders_oldest_seconds', description: 'A test.', unit: 's', labels: ['country'] } as const;
  expect(() => checkGauge('orders', { ...right, labels: [...right.labels] })).not.toThrow();
  expect(() => checkGauge('orders', { ...right, labels: [], ...wrong })).toThrow(message);
});
