/** The example of an offline cart in a real browser: two tabs of one browser, and the network cut in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { linesOf } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { answerTo, newCart, sync } from '@caudal/service-carts/domain/stored-cart.ts';
import { findChromium } from '@caudal/testing/chromium.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { offlineCartServer } from '../../examples/offline-cart.ts';

const chromium = findChromium();
const title = `the offline cart in a browser${chromium ? '' : ' (no Chromium in PATH or CHROMIUM_PATH)'}`;

/** Two frames of one origin share storage as two tabs do. */
const driver = `<!doctype html><iframe id="a" src="/"></iframe><iframe id="b" src="/"></iframe>
<script type="module">
  const frame = (id) => document.getElementById(id).contentWindow;
  const ready = async (id) => {
    while (!frame(id).cartPage) await new Promise((resolve) => setTimeout(resolve, 20));
    return frame(id).cartPage;
  };
  const shown = (id) => [...frame(id).document.querySelectorAll('li')].map((line) => line.firstChild.textContent.trim());
  const [a, b] = [await ready('a'), await ready('b')];
  const seen = {};
  await a.add('MUG-1');
  await fetch('/v1/cut', { method: 'POST' });
  await a.add('MUG-1');
  await b.add('MUG-1');
  await b.add('TEA');
  await a.remove('TEA');
  await b.add('POT');
  seen.offline = [shown('a'), shown('b'), frame('b').document.querySelector('#state').textContent];
  await fetch('/v1/mend', { method: 'POST' });
  await Promise.all([a.sync(), b.sync()]);
  await a.sync();
  seen.online = [shown('a'), shown('b'), frame('a').document.querySelector('#state').textContent];
  await fetch('/v1/seen', { method: 'POST', body: JSON.stringify(seen) });
</script>`;

(chromium ? describe : describe.skip)(title, () => {
  let api: Server;
  let page: Server;
  let profile: string;
  let stored = newCart();
  let isCut = false;
  let refused = 0;
  let browser: ChildProcess | undefined;
  let saw: (seen: Record<string, unknown[]>) => void = () => {};

  const listen = (server: Server) =>
    new Promise<string>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), 'caudal-cart-'));
    // The server's own merge, without a database.
    api = createServer(async (request, response) => {
      const reply = (body: object) => void response.end(JSON.stringify(body));
      if (request.url === '/v1/driver') {
        response.setHeader('content-type', 'text/html');
        return void response.end(driver);
      }
      if (request.url === '/v1/cut' || request.url === '/v1/mend') {
        isCut = request.url === '/v1/cut';
        return reply({});
      }
      if (request.url === '/v1/seen') {
        saw((await json(request)) as Record<string, unknown[]>);
        return reply({});
      }
      if (isCut) {
        refused++;
        request.socket.destroy();
        return;
      }
      if (request.url === '/v1/guestCarts') return reply({ guestCartId: 'g', guestToken: 't' });
      const body = (await json(request)) as Record<string, string>;
      const sent = {
        device: body.deviceId!,
        baseVersion: Number(body.baseVersion),
        confirmedChange: Number(body.confirmedChange),
        changes: decodeCart(Buffer.from(body.changes!, 'base64url')),
      };
      stored = sync(stored, sent, {}, new Date());
      const changes = Buffer.from(encodeCart(answerTo(stored, sent.baseVersion))).toString('base64url');
      return reply({ version: String(stored.version), changes });
    });
    page = offlineCartServer({ upstream: await listen(api) });
  });
  afterAll(async () => {
    if (browser?.exitCode === null) {
      browser.kill();
      await once(browser, 'exit');
    }
    api?.close();
    page?.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  test('tabs share what they have added offline, and it reaches the server once the network is back', async () => {
    const url = `${await listen(page)}/v1/driver`;
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`];
    const seen = await new Promise<Record<string, unknown[]>>((resolve, reject) => {
      saw = resolve;
      browser = spawn(chromium!, [...flags, '--remote-debugging-port=0', url], { stdio: 'ignore' });
      browser.once('error', reject);
      browser.once('exit', () => reject(new Error('the browser has ended')));
    });
    const lines = ['MUG-1 x 3', 'POT x 1'];
    expect(seen.offline?.[1]).toEqual(lines);
    expect(seen.offline?.[2]).toContain('not sent yet');
    expect(refused).toBeGreaterThan(0);
    expect(seen.online).toEqual([lines, lines, 'all sent']);
    expect(linesOf(stored.cart)).toEqual([
      { key: 'MUG-1', quantity: 3 },
      { key: 'POT', quantity: 1 },
    ]);
  }, 120_000);
});
