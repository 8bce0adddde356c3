/** The page in a real browser: on a phone and in the dark, for those who use a screen reader, and with a carrier that means harm. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { start, stopAll } from '@caudal/rpc/testing/fixture.ts';
import { browse, findChromium } from '@caudal/testing/chromium.ts';
import { afterAll, describe, expect, test } from '@jest/globals';
import axe from 'axe-core';
import { judge } from '../domain/parcel.ts';
import { trackingPageQueryService } from '../queries/tracking-page-query-service.ts';
import { hour, start as startTime, traceAt } from '../testing/traces.ts';

const chromium = findChromium();
const title = `a parcel's page in a browser${chromium ? '' : ' (no Chromium in PATH or CHROMIUM_PATH)'}`;

const attack =
  '<script>document.title = "owned"</script><img src="https://evil.example/x" onerror="document.title = 1">';
const hebrew = '\u202eהחבילה הגיעה למרכז';
const state = judge(undefined, [
  traceAt(0, 'IN_TRANSIT', { place: { name: 'Lyon', country: 'FR', latitude: 45.8, longitude: 4.8 }, detail: attack }),
  traceAt(30, 'IN_TRANSIT', { place: { name: 'Haifa', country: 'IL', latitude: 32.8, longitude: 35 }, detail: hebrew }),
  traceAt(31, 'OUT_FOR_DELIVERY', {
    ...{ detail: 'x'.repeat(400), eta: new Date(startTime + 60 * hour) },
    place: { name: `Llanfairpwll${'gwyn'.repeat(40)}` },
  }),
]);
const row = {
  ...{ parcel: 'p', carrier: 'DHL <b>', trackingNumber: '0034'.repeat(12), status: 3, shipment: null, orderId: null },
  ...{ customer: null, firstAt: null, lastAt: null, createdAt: new Date(), updatedAt: new Date(), traces: 60 },
  ...{ state: JSON.stringify(state), destination: 'IL' },
};

(chromium ? describe : describe.skip)(title, () => {
  const servers: Server[] = [];
  afterAll(async () => {
    for (const server of servers) server.close();
    await stopAll();
  });

  /** Caudal, with this one parcel behind every link but `/track/none`. */
  async function serve(): Promise<string> {
    const answers = (name: string | undefined, hash: unknown) => (name === 'tracking-page' && hash ? [row] : []);
    const database = {
      query: async ({ name, values }: { name?: string; values?: unknown[] }) => answers(name, values?.[0]),
    };
    const clock = () => new Date(startTime + 40 * hour);
    const { url } = await start({}, [trackingPageQueryService({ database: database as never, clock })]);
    return url;
  }

  test('shows what carriers say as text, runs nothing, and needs nothing that its policy refuses', async () => {
    const { html, complaints } = await browse(`${await serve()}/track/one`);
    expect(complaints).toEqual([]);
    expect(html).toContain('<title>Your parcel</title>');
    expect(html).toContain('&lt;script&gt;document.title = "owned"&lt;/script&gt;');
    expect(html).not.toMatch(/<script|<img|<b>/);
  }, 120_000);

  interface Inspected {
    violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
    passes: number;
    width: number;
    ground: string;
    directions: [string, string, string][];
  }

  /** Looks at the page in a frame of this width. The frame's copy has no policy, so that axe can run in it. */
  async function inspect(width: number, flags: string[] = []): Promise<Inspected> {
    const page = await (await fetch(`${await serve()}/track/one`)).text();
    const outer = `<!doctype html><title>outer</title><iframe src="/page" style="width: ${width}px; height: 900px; border: 0"></iframe>
<pre></pre><script>
const frame = document.querySelector('iframe');
frame.onload = () => {
  const { contentDocument: inner, contentWindow } = frame;
  const script = inner.createElement('script');
  script.src = '/axe.js';
  script.onload = async () => {
    const { violations, passes } = await contentWindow.axe.run(inner, { resultTypes: ['violations'] });
    const style = (element) => contentWindow.getComputedStyle(element);
    document.querySelector('pre').textContent = JSON.stringify({
      violations, passes: passes.length, width: inner.documentElement.scrollWidth,
      ground: style(inner.body).backgroundColor,
      directions: [...inner.querySelectorAll('bdi')].map((each) => [each.textContent, style(each).direction, style(each).unicodeBidi]),
    });
  };
  inner.head.append(script);
};
</script>`;
    const contents: Record<string, [string, string]> = {
      '/': ['text/html; charset=utf-8', outer],
      '/page': ['text/html; charset=utf-8', page],
      '/axe.js': ['text/javascript', axe.source],
    };
    const server = createServer(({ url }, reply) => {
      const [type, body] = contents[url ?? ''] ?? ['text/plain', ''];
      reply.writeHead(200, { 'content-type': type }).end(body);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { html } = await browse(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, flags);
    const [, json = ''] = /<pre>([\s\S]*?)<\/pre>/.exec(html) ?? [];
    const text = json.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
    return JSON.parse(text) as Inspected;
  }

  test.each([
    ['on a desk', 1_000, [], 'rgb(255, 255, 255)'],
    ['on a phone, in the dark', 320, ['--blink-settings=preferredColorScheme=0'], 'rgb(20, 23, 26)'],
  ])(
    'is accessible %s',
    async (_, width, flags, ground) => {
      const found = await inspect(width, flags);
      expect(found.violations.map(({ id, nodes }) => [id, nodes[0]!.html, nodes[0]!.failureSummary])).toEqual([]);
      expect(found.passes).toBeGreaterThan(15);
      expect(found.ground).toBe(ground);
      // Nothing is wider than the screen.
      expect(found.width).toBeLessThanOrEqual(width);
      expect(found.directions).toContainEqual([hebrew, 'rtl', 'isolate']);
      expect(found.directions).toContainEqual(['Lyon, FR', 'ltr', 'isolate']);
    },
    120_000,
  );
});
