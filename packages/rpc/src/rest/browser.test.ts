/** The pages in a real browser: what their policy forbids, they do not need. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { browse, findChromium } from '@caudal/testing/chromium.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { start, stopAll } from '../testing/fixture.ts';

const chromium = findChromium();
const title = `the pages in a browser${chromium ? '' : ' (no Chromium in PATH or CHROMIUM_PATH)'}`;

(chromium ? describe : describe.skip)(title, () => {
  let server: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(stopAll);

  test('/docs/ shows the methods, and its policy refuses nothing that it does', async () => {
    const { html, complaints } = await browse(`${server.url}/docs/`);
    expect(['OrderService', 'Place order'].filter((words) => !html.includes(words))).toEqual([]);
    expect(complaints).toEqual([]);
  }, 120_000);

  test('/ has its style', async () => {
    const { html, complaints } = await browse(server.url);
    expect(html).toContain('An order-to-delivery backend');
    expect(complaints).toEqual([]);
  }, 120_000);

  test('a page with a script of its own would be refused: the browser obeys the policy', async () => {
    const { headers } = await fetch(`${server.url}/docs/`);
    const policy = headers.get('content-security-policy')!;
    const other = createServer((_, reply) => {
      reply.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy });
      reply.end('<!doctype html><p id="p">quiet</p><script>document.getElementById("p").textContent = "loud"</script>');
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { html, complaints } = await browse(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
    other.close();
    expect(html).toContain('<p id="p">quiet</p>');
    expect(complaints.length).toBeGreaterThan(0);
  }, 120_000);
});
