import { createHash } from 'node:crypto';
import { contract } from '@caudal/contract/descriptors.ts';
import { TrackingPageQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { start, stopAll } from '../testing/fixture.ts';
import { service } from '../types.ts';
import { openApi } from './openapi.ts';

const style = 'p { color: red }';
const styleHash = createHash('sha256').update(style).digest('base64');
const html = `<!doctype html><style>${style}</style><p>${'Hello. '.repeat(300)}</p>`;
const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

let url: string;
beforeAll(async () => {
  const pages = service(TrackingPageQueryServiceService, {
    async showTrackingPage({ token }) {
      if (token === 'none') throw new CaudalError('NOT_FOUND', 'PARCEL_LINK_NOT_FOUND', 'Nothing <b>here</b> & there.');
      if (token === 'bug') throw new TypeError('secret');
      return { html, styleHash: token === 'odd' ? "x' 'unsafe-inline" : styleHash };
    },
  });
  ({ url } = await start({}, [pages]));
});
afterAll(stopAll);

const get = (path: string, init: RequestInit = {}) => fetch(`${url}${path}`, { headers: browser, ...init });

test('a page is HTML under a policy that lets nothing run and nothing load, and is not kept by search engines', async () => {
  const reply = await get('/track/one');
  expect(reply.status).toBe(200);
  expect(await reply.text()).toBe(html);
  expect(Object.fromEntries(reply.headers)).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'x-robots-tag': 'noindex, nofollow, noarchive',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, max-age=60',
    'x-request-id': expect.any(String),
  });
});

test('a page that has not changed keeps its policy: headers of a 304 replace those of the browser', async () => {
  const first = await get('/track/one');
  const again = await get('/track/one', { headers: { ...browser, 'if-none-match': first.headers.get('etag')! } });
  expect(again.status).toBe(304);
  expect(again.headers.get('content-security-policy')).toBe(first.headers.get('content-security-policy'));
});

test('a hash that is none names no style', async () => {
  const { headers } = await get('/track/odd');
  expect(headers.get('content-security-policy')).toContain("style-src 'none';");
});

test('HEAD has the headers alone', async () => {
  const reply = await get('/track/one', { method: 'HEAD' });
  expect([reply.status, reply.headers.get('content-type'), await reply.text()]).toEqual([
    ...[200, 'text/html; charset=utf-8', ''],
  ]);
});

test.each([
  ['none', 404, 'Not found'],
  ['bug', 500, 'Internal error'],
  ['x'.repeat(101), 400, 'Invalid request'],
])('what is refused is a page for browsers: %.10s', async (token, status, title) => {
  const reply = await get(`/track/${token}`);
  expect([reply.status, reply.headers.get('content-type')]).toEqual([status, 'text/html; charset=utf-8']);
  const text = await reply.text();
  expect(text).toContain(`<h1>${title}</h1>`);
  expect(text).not.toMatch(/<b>|secret|<script/);
  const [, own] = /<style>([\s\S]*)<\/style>/.exec(text)!;
  expect(reply.headers.get('content-security-policy')).toContain(
    `style-src 'sha256-${createHash('sha256').update(own!).digest('base64')}'`,
  );
  expect(Object.fromEntries(reply.headers)).toMatchObject({
    'cache-control': 'no-store',
    'x-robots-tag': expect.stringContaining('noindex'),
    vary: expect.stringContaining('accept'),
  });
});

test('programs get problem+json', async () => {
  for (const accept of ['*/*', 'application/json']) {
    const reply = await get('/track/none', { headers: { accept } });
    expect([reply.status, reply.headers.get('content-type')]).toEqual([
      404,
      expect.stringContaining('application/problem+json'),
    ]);
    expect(await reply.json()).toMatchObject({ reason: 'PARCEL_LINK_NOT_FOUND' });
  }
});

test('OpenAPI says that it is HTML, and has no schema of the message', () => {
  const { paths, components } = openApi(contract().methods()) as {
    paths: Record<string, { get: { responses: Record<string, { content: object }> } }>;
    components: { schemas: object };
  };
  expect(Object.keys(paths['/track/{token}']!.get.responses['200']!.content)).toEqual(['text/html']);
  expect(Object.keys(components.schemas)).not.toContain('type.Page');
});
