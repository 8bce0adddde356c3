/** The example of an offline cart in a real browser, on the whole system: tabs, devices, and a network that is cut. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linesOf } from '@caudal/carts/cart.ts';
import { decodeCart } from '@caudal/carts/encoding.ts';
import { valuesOf } from '@caudal/carts/fields.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Browser, startBrowser, type Tab } from '@caudal/testing/browser.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { until } from '../e2e/wait.ts';
import { describeInBrowser } from './describe-in-browser.ts';
import { makePageServer, type PageServer } from './page-server.ts';

const servers = ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'] as const;
const testMs = 180_000;

/** A tab: of which browser, whose, and what its address ends in. */
interface Opening {
  hash?: string;
  from?: Browser;
  context?: string;
  script?: string;
}

describeInBrowser([...servers], 'the offline cart in a browser', (chromium) => {
  let browser: Browser;
  let page: PageServer;
  let system: System;

  beforeAll(async () => {
    page = await makePageServer();
    system = await startSystem({ form: 'stores', env: () => ({ CAUDAL_CORS_ORIGINS: page.url }) });
    browser = startBrowser(chromium);
    await page.start(system.part('all').rest);
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await page?.stop();
    await system?.stop();
  }, 120_000);
  const it = systemTest(() => system);

  /** A tab with the page, which is ready to work. */
  async function open({ hash = '', from = browser, ...options }: Opening = {}): Promise<Tab> {
    const tab = await from.openTab(`${page.url}/${hash}`, options);
    await tab.until("document.getElementById('state').textContent !== 'Opening'");
    return tab;
  }
  const text = (tab: Tab, id: string) => tab.evaluate<string>(`document.getElementById('${id}').textContent`);
  const guestOf = (tab: Tab) => tab.evaluate<string>("localStorage.getItem('guest')");
  const submit = (tab: Tab, form: string, field: string, value: string, times = 1) =>
    tab.evaluate(`(() => {
      const form = document.getElementById('${form}');
      form.elements.${field}.value = ${JSON.stringify(value)};
      for (let n = 0; n < ${times}; n++) form.requestSubmit();
    })()`);
  const add = (tab: Tab, product: string, times = 1) => submit(tab, 'add', 'product', product, times);
  const remove = (tab: Tab, product: string) =>
    tab.evaluate(`[...document.querySelectorAll('li')].find((line) => line.textContent.startsWith('${product} '))
      .querySelector('button').click()`);

  const press = (tab: Tab, button: string) => tab.evaluate(`document.getElementById('${button}').click()`);

  const linesIn = (tab: Tab) =>
    tab.evaluate<string[]>(
      "[...document.querySelectorAll('#lines li')].map((line) => line.firstChild.textContent.trim())",
    );

  /** Waits until a tab shows these lines and this state. */
  async function shows(tab: Tab, lines: string[], state?: 'All sent' | 'Not sent yet'): Promise<void> {
    const read = async () => [await linesIn(tab), state && (await text(tab, 'state')), await text(tab, 'network')];
    const isThere = ([now, then]: unknown[]) => JSON.stringify([now, then]) === JSON.stringify([lines, state]);
    await until(`the tab shows ${lines} (${state})`, read, isThere);
  }

  /** The guest's cart as another device gets it from the server. */
  const onServer = async (tab: Tab) => inCartOf(await guestOf(tab));
  async function inCartOf(guest: string): Promise<{ lines: string[]; note: unknown }> {
    const [guestCartId, guestToken] = guest.split('.');
    const request = { guestCartId, guestToken, deviceId: newId(), changes: '' };
    const { body } = await system.api.call('SyncGuestCart', request);
    const cart = decodeCart(Buffer.from(body.changes, 'base64url'));
    const note = cart.fields.get('note');
    return {
      lines: linesOf(cart).map(({ key, quantity }) => `${key} x ${quantity}`),
      note: note && valuesOf(note)[0],
    };
  }

  it(
    'two tabs add at once: no add is lost, and both show all of them',
    async () => {
      const context = await browser.newContext();
      const tabs = [await open({ context }), await open({ context })];
      await Promise.all(tabs.map((tab) => add(tab, 'MUG-1', 25)));
      for (const tab of tabs) await shows(tab, ['MUG-1 x 50'], 'All sent');
      expect((await onServer(tabs[0]!)).lines).toEqual(['MUG-1 x 50']);
    },
    testMs,
  );

  it(
    'the network is cut, two devices go on, and the network comes back: both have what the server has',
    async () => {
      const phone = await open({ context: await browser.newContext() });
      await add(phone, 'MUG-1', 2);
      await add(phone, 'TEA');
      await shows(phone, ['MUG-1 x 2', 'TEA x 1'], 'All sent');
      const laptop = await open({ context: await browser.newContext(), hash: `#${await guestOf(phone)}` });
      await press(laptop, 'open');
      await shows(laptop, ['MUG-1 x 2', 'TEA x 1'], 'All sent');

      for (const tab of [phone, laptop]) await tab.cutNetwork(true);
      await add(phone, 'MUG-1');
      await remove(phone, 'TEA');
      await add(laptop, 'TEA', 3);
      await add(laptop, 'POT');
      await submit(laptop, 'note', 'text', 'Ring twice');
      await shows(phone, ['MUG-1 x 3'], 'Not sent yet');
      await shows(laptop, ['MUG-1 x 2', 'POT x 1', 'TEA x 4'], 'Not sent yet');
      await phone.until("document.getElementById('network').textContent.startsWith('Not synchronised')");
      expect((await onServer(phone)).lines).toEqual(['MUG-1 x 2', 'TEA x 1']);

      for (const tab of [phone, laptop]) await tab.cutNetwork(false);
      // The phone has removed the one of TEA that it has seen; the three of the laptop stay.
      const lines = ['MUG-1 x 3', 'POT x 1', 'TEA x 3'];
      for (const tab of [phone, laptop]) await shows(tab, lines, 'All sent');
      expect(await onServer(phone)).toEqual({ lines, note: 'Ring twice' });
      await phone.until("document.getElementById('note').elements.text.value === 'Ring twice'");
    },
    testMs,
  );

  it(
    'a link to the cart of another device asks first, and takes nothing of the own cart along',
    async () => {
      const context = await browser.newContext();
      const own = await open({ context });
      await add(own, 'MUG-1');
      await submit(own, 'note', 'text', 'Ring twice');
      await shows(own, ['MUG-1 x 1'], 'All sent');
      const { body: made } = await system.api.call('CreateGuestCart', {});
      const others = `${made.guestCartId}.${made.guestToken}`;

      const kept = await open({ context, hash: `#${others}` });
      expect(await linesIn(kept)).toEqual([]);
      await press(kept, 'keep');
      await shows(kept, ['MUG-1 x 1'], 'All sent');
      const opened = await open({ context, hash: `#${others}` });
      await press(opened, 'open');
      await shows(opened, [], 'All sent');
      await add(opened, 'TEA');
      await shows(opened, ['TEA x 1'], 'All sent');
      expect(await inCartOf(others)).toEqual({ lines: ['TEA x 1'], note: undefined });

      await press(opened, 'back');
      await shows(opened, ['MUG-1 x 1'], 'All sent');
      expect(await onServer(opened)).toEqual({ lines: ['MUG-1 x 1'], note: 'Ring twice' });
    },
    testMs,
  );

  it(
    'a page that is opened again without network and server has its lines, and sends them later',
    async () => {
      const context = await browser.newContext();
      const tab = await open({ context });
      await tab.until('navigator.serviceWorker.controller !== null');
      await add(tab, 'MUG-1');
      await shows(tab, ['MUG-1 x 1'], 'All sent');
      await page.stop();
      await tab.cutNetwork(true);
      await add(tab, 'POT', 2);
      await shows(tab, ['MUG-1 x 1', 'POT x 2'], 'Not sent yet');
      await tab.reload();
      await shows(tab, ['MUG-1 x 1', 'POT x 2'], 'Not sent yet');
      await add(tab, 'POT');
      await shows(tab, ['MUG-1 x 1', 'POT x 3'], 'Not sent yet');
      await page.start(system.part('all').rest);
      await tab.cutNetwork(false);
      await shows(tab, ['MUG-1 x 1', 'POT x 3'], 'All sent');
      expect((await onServer(tab)).lines).toEqual(['MUG-1 x 1', 'POT x 3']);
    },
    testMs,
  );

  it(
    'a tab that crashes at any moment loses no add that was acknowledged',
    async () => {
      // The worker that keeps the page's files has the page's process, and Chromium may take a minute to start it again.
      const script = "Object.defineProperty(navigator, 'serviceWorker', { value: undefined });";
      let acknowledged = 0;
      for (let round = 1; round <= 4; round++) {
        const tab = await open({ script });
        await tab.listen('acknowledge', () => {
          acknowledged += 1;
        });
        // The page itself synchronises meanwhile.
        await tab.evaluate(`(async () => {
          const { openBrowserCart } = await import('/carts/browser/browser-cart.ts');
          const { addToLine } = await import('/carts/cart.ts');
          const own = await openBrowserCart({ name: 'cart', send: () => new Promise(() => {}) });
          void (async () => {
            for (;;) {
              await own.change((cart, by) => addToLine(cart, 'CUP', 1, by));
              acknowledge('');
            }
          })();
        })()`);
        const enough = acknowledged + 5 * round;
        await until(
          'adds',
          async () => acknowledged,
          (adds) => adds >= enough,
        );
        tab.crash();
        await tab.close();
      }
      const tab = await open({ script });
      await tab.until("document.getElementById('state').textContent === 'All sent'");
      const [line] = await linesIn(tab);
      expect(Number(line?.replace('CUP x ', ''))).toBeGreaterThanOrEqual(acknowledged);
      expect((await onServer(tab)).lines).toEqual([line]);
    },
    testMs,
  );

  it(
    'a browser that is killed has what it has shown when it starts again',
    async () => {
      const profile = mkdtempSync(join(tmpdir(), 'caudal-browser-'));
      let own = startBrowser(chromium, profile);
      try {
        const tab = await open({ from: own });
        await tab.cutNetwork(true);
        await add(tab, 'MUG-1', 3);
        await shows(tab, ['MUG-1 x 3'], 'Not sent yet');
        await own.close();
        own = startBrowser(chromium, profile);
        const again = await open({ from: own });
        await shows(again, ['MUG-1 x 3'], 'All sent');
        expect((await onServer(again)).lines).toEqual(['MUG-1 x 3']);
      } finally {
        await own.close();
        rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
      }
    },
    testMs,
  );

  it(
    'a browser that stores nothing says so; the cart works until the page is closed',
    async () => {
      const script = `for (const name of ['indexedDB', 'localStorage'])
        Object.defineProperty(globalThis, name, { get() { throw new DOMException('denied', 'SecurityError'); } });`;
      const tab = await open({ context: await browser.newContext(), script });
      expect(await text(tab, 'trouble')).toContain('the cart lasts until the page is closed');
      await add(tab, 'MUG-1', 2);
      await shows(tab, ['MUG-1 x 2'], 'All sent');
    },
    testMs,
  );

  // Chromium's own override of the quota has no effect on IndexedDB, so the page's writes fail as a full disk makes them fail.
  it(
    'a full disk refuses the change and says so, and the cart stays as it was',
    async () => {
      const script = `globalThis.disk = 'right';
        const { put } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function (...content) {
          if (globalThis.disk === 'full') throw new DOMException('The disk is full.', 'QuotaExceededError');
          const request = put.apply(this, content);
          if (globalThis.disk === 'full later') request.onsuccess = () => this.transaction.abort();
          return request;
        };`;
      const tab = await open({ context: await browser.newContext(), script });
      await add(tab, 'MUG-1');
      await shows(tab, ['MUG-1 x 1'], 'All sent');
      let pots = 0;
      for (const disk of ['full', 'full later']) {
        await tab.evaluate(`globalThis.disk = '${disk}'`);
        const lines = await linesIn(tab);
        await add(tab, 'POT');
        await tab.until("document.getElementById('trouble').textContent.startsWith('Nothing was changed')");
        await shows(tab, lines, 'All sent');
        await tab.evaluate("globalThis.disk = 'right'");
        await add(tab, 'POT');
        pots += 1;
        await shows(tab, ['MUG-1 x 1', `POT x ${pots}`], 'All sent');
        expect(await text(tab, 'trouble')).toBe('');
      }
      expect((await onServer(tab)).lines).toEqual(['MUG-1 x 1', 'POT x 2']);
    },
    testMs,
  );

  it(
    'a clock that is an hour ahead is corrected, also in what was not sent yet',
    async () => {
      const script =
        'globalThis.aheadMs = 0; const real = Date.now; Date.now = () => real.call(Date) + globalThis.aheadMs;';
      const tab = await open({ context: await browser.newContext(), script });
      await add(tab, 'MUG-1');
      await shows(tab, ['MUG-1 x 1'], 'All sent');
      await tab.cutNetwork(true);
      await tab.evaluate('globalThis.aheadMs = 3_600_000');
      await add(tab, 'POT');
      await submit(tab, 'note', 'text', 'From the future');
      await shows(tab, ['MUG-1 x 1', 'POT x 1'], 'Not sent yet');
      await tab.cutNetwork(false);
      await shows(tab, ['MUG-1 x 1', 'POT x 1'], 'All sent');
      expect(await onServer(tab)).toEqual({ lines: ['MUG-1 x 1', 'POT x 1'], note: 'From the future' });
    },
    testMs,
  );

  it(
    'a logout in one tab takes the copy from all of them',
    async () => {
      const context = await browser.newContext();
      const [tab, other] = [await open({ context }), await open({ context })];
      await add(tab, 'MUG-1');
      for (const each of [tab, other]) await shows(each, ['MUG-1 x 1'], 'All sent');
      await tab.evaluate(`import('/carts/browser/copy-storage.ts').then((copies) => copies.deleteBrowserCart('cart'))`);
      await add(other, 'POT');
      await other.until("document.getElementById('trouble').textContent.includes('was closed')");
      expect(await tab.evaluate('indexedDB.databases().then((found) => found.map(({ name }) => name))')).toEqual([]);
    },
    testMs,
  );
});
