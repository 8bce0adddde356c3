/** The merge in a browser is the server's, bit by bit. */

import { strategies } from '@caudal/carts/fields.ts';
import { lineKey } from '@caudal/carts/line-key.ts';
import { bytesAfter, type Step } from '@caudal/carts/testing/histories.ts';
import { type Browser, startBrowser, type Tab } from '@caudal/testing/browser.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeInBrowser } from './describe-in-browser.ts';
import { makePageServer, type PageServer } from './page-server.ts';

const histories = 500;
const device = fc.nat({ max: 3 });
const options = { größe: 'M & L', farbe: "rot'(1)", 𝒳: '\u00e9\ufb01' };
const key = fc.constantFrom('A', 'b.2', 'Z_9', lineKey({ productId: 'SHIRT', options }));
const step = fc.record({
  kind: fc.constantFrom('add', 'add', 'remove', 'receive', 'receive', 'write'),
  ...{ device, from: device, key },
  // Also those that need more than 32 bits.
  pieces: fc.oneof(fc.integer({ min: -3, max: 5 }), fc.constant(2 ** 35 + 7)),
  name: fc.constantFrom(...Object.keys(strategies)),
  value: fc.nat({ max: 2 ** 33 }),
  nowMs: fc.oneof(fc.nat({ max: 5 }), fc.constant(1_795_000_000_123)),
}) as fc.Arbitrary<Step>;

describeInBrowser([], 'the merge in a browser', (chromium) => {
  let browser: Browser;
  let page: PageServer;
  let tab: Tab;

  beforeAll(async () => {
    page = await makePageServer();
    await page.start('http://127.0.0.1:9');
    browser = startBrowser(chromium);
    tab = await browser.openTab(page.url);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await page?.stop();
  }, 60_000);

  const inBrowser = (steps: Step[][]): Promise<string[]> =>
    tab.evaluate(
      `import('/carts/testing/histories.ts').then(({ bytesAfter }) => bytesAfter(${JSON.stringify(steps)}))`,
    );

  test(`gives the same bytes as in Node for ${histories} histories`, async () => {
    const samples = fc.sample(fc.array(step, { minLength: 1, maxLength: 60 }), { numRuns: histories, seed: 1 });
    const here = bytesAfter(samples);
    expect(await inBrowser(samples)).toEqual(here);
    // They are not all empty: most differ.
    expect(new Set(here).size).toBeGreaterThan(histories / 2);
  }, 120_000);

  test('names a line of product and options alike', async () => {
    const item = { productId: 'SHIRT', options };
    const there = await tab.evaluate(
      `import('/carts/line-key.ts').then(({ lineKey }) => lineKey(${JSON.stringify(item)}))`,
    );
    expect(there).toBe(lineKey(item));
  }, 60_000);
});
