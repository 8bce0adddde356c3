/** What caches may do with answers: the headers, and a real caching proxy before the server. */
import {
  CatalogQueryServiceService,
  Product,
  SearchProductsResponse,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type CachingProxy, findNginx, startNginx } from '@caudal/testing/nginx.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { encodeConsistency } from '../server/consistency-token.ts';
import { services as others, start, token } from '../testing/fixture.ts';
import { service } from '../types.ts';

jest.setTimeout(60_000);

const nginx = findNginx();
const state = { title: 'first', reads: 0, strengths: [] as (string | undefined)[], error: undefined as unknown };
let server: Awaited<ReturnType<typeof start>>;
let alice: string;
let bob: string;

const products = service(CatalogQueryServiceService, {
  async getProduct({ productId }, call) {
    state.reads++;
    state.strengths.push(call.readStrength);
    if (state.error) throw state.error;
    return Product.fromPartial({ productId, title: state.title, etag: state.title });
  },
  async getProductInterest({ productId }) {
    return { productId, reads: 0n };
  },
  async searchProducts() {
    state.reads++;
    return SearchProductsResponse.fromPartial({ products: [{ productId: 'p', title: state.title }], totalSize: 1n });
  },
});

beforeAll(async () => {
  server = await start({}, [...others([]), products]);
  alice = await token('alice', ['catalog.products.read', 'orders.orders.read']);
  bob = await token('bob', ['catalog.products.read']);
});
afterAll(() => server.stop());
beforeEach(() => {
  Object.assign(state, { title: 'first', reads: 0, strengths: [], error: undefined });
});

async function get(url: string, headers: Record<string, string> = {}, as: string | undefined = alice) {
  const answer = await fetch(url, { headers: { ...(as && { authorization: `Bearer ${as}` }), ...headers } });
  const text = await answer.text();
  const body = text === '' ? undefined : JSON.parse(text);
  return { status: answer.status, headers: answer.headers, body, cache: answer.headers.get('x-cache') };
}

describe('the headers', () => {
  const kept = 'public, max-age=5, stale-while-revalidate=30, stale-if-error=300';

  test('of a method whose answers are kept', async () => {
    const { headers } = await get(`${server.url}/v1/products/p`);
    expect(headers.get('cache-control')).toBe(kept);
    expect(headers.get('vary')!.split(/, ?/)).toEqual(
      expect.arrayContaining(['authorization', 'consistency-token', 'read-strength']),
    );
    expect(headers.get('etag')).toBe('"first"');
  });

  test('of one without an etag: a digest of the answer stands for it', async () => {
    const first = await get(`${server.url}/v1/products:search`);
    expect(first.headers.get('cache-control')).toBe(kept);
    const etag = first.headers.get('etag')!;
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    expect((await get(`${server.url}/v1/products:search`, { 'if-none-match': etag })).status).toBe(304);
    state.title = 'second';
    const changed = await get(`${server.url}/v1/products:search`, { 'if-none-match': etag });
    expect([changed.status, changed.headers.get('etag') === etag]).toEqual([200, false]);
  });

  test('of an answer that must include something: no cache may give it to others', async () => {
    const consistency = encodeConsistency([{ stream: 'catalog.product/p', version: 1 }])!;
    const chosen: Record<string, string>[] = [{ 'consistency-token': consistency }, { 'read-strength': 'QUORUM' }];
    for (const headers of chosen)
      expect((await get(`${server.url}/v1/products/p`, headers)).headers.get('cache-control')).toBe(
        'private, no-cache',
      );
  });

  test('of other methods, and of refusals', async () => {
    const stock = await get(`${server.url}/v1/stock/p`, {}, await token('root', ['inventory.stock.read']));
    expect(stock.headers.get('cache-control')).toBe('private, no-cache');
    expect((await get(`${server.url}/v1/products/p`, {}, '')).headers.get('cache-control')).toBe('no-store');
    state.error = unavailable('the store');
    expect((await get(`${server.url}/v1/products/p`)).headers.get('cache-control')).toBe('no-store');
  });
});

describe('the header read-strength', () => {
  test.each([
    ['ONE', 'ONE'],
    ['quorum', 'QUORUM'],
    ['STRONG', 'STRONG'],
  ])('%s arrives as %s', async (given, strength) => {
    await get(`${server.url}/v1/products/p`, { 'read-strength': given });
    expect(state.strengths).toEqual([strength]);
  });

  test('is absent by default, and refused if it is wrong', async () => {
    await get(`${server.url}/v1/products/p`);
    expect(state.strengths).toEqual([undefined]);
    const unknown = await get(`${server.url}/v1/products/p`, { 'read-strength': 'ALL' });
    expect(unknown).toMatchObject({ status: 400, body: { reason: 'INVALID_READ_STRENGTH' } });
    expect(unknown.body.violations).toEqual([
      { field: 'read-strength', description: 'must be one of ONE, AT_LEAST, QUORUM, STRONG' },
    ]);
    const without = await get(`${server.url}/v1/products/p`, { 'read-strength': 'AT_LEAST' });
    expect(without).toMatchObject({ status: 400, body: { reason: 'INVALID_READ_STRENGTH' } });
    expect(state.reads).toBe(1);
  });
});

(nginx ? describe : describe.skip)(`behind a caching proxy${nginx ? '' : ' (no nginx)'}`, () => {
  let proxy: CachingProxy;
  /** Sends a token of its own, as a CDN before a public catalogue. */
  let open: CachingProxy;
  beforeAll(async () => {
    proxy = await startNginx(nginx!, { upstream: server.url });
    open = await startNginx(nginx!, { upstream: server.url, headers: { authorization: `Bearer ${alice}` } });
  });
  afterAll(async () => {
    await proxy?.stop();
    await open?.stop();
  });

  test('one read serves many', async () => {
    const url = `${proxy.url}/v1/products/many`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(url)));
    expect(answers.map(({ body }) => body.title)).toEqual(Array(20).fill('first'));
    expect((await get(url)).cache).toBe('HIT');
    expect(state.reads).toBe(1);
  });

  test("another caller's answer is not served: each shows a token", async () => {
    const url = `${proxy.url}/v1/products/whose`;
    await get(url);
    expect((await get(url, {}, bob)).cache).toBe('MISS');
    expect((await get(url, {}, '')).status).toBe(401);
    expect(state.reads).toBe(2);
  });

  test('a proxy with a token of its own serves all callers, also those without one', async () => {
    const url = `${open.url}/v1/products/open`;
    expect(await get(url, {}, '')).toMatchObject({ status: 200, cache: 'MISS' });
    expect(await get(url, {}, '')).toMatchObject({ status: 200, cache: 'HIT', body: { title: 'first' } });
    expect(state.reads).toBe(1);
  });

  test('who must see a write gets past the proxy', async () => {
    const url = `${proxy.url}/v1/products/seen`;
    await get(url);
    state.title = 'second';
    expect((await get(url)).body.title).toBe('first');
    const consistency = encodeConsistency([{ stream: 'catalog.product/seen', version: 2 }])!;
    for (let i = 0; i < 2; i++)
      expect(await get(url, { 'consistency-token': consistency })).toMatchObject({ body: { title: 'second' } });
    expect((await get(url, { 'read-strength': 'STRONG' })).body.title).toBe('second');
  });

  test('after its time an answer is served once more while a new one is fetched', async () => {
    const url = `${proxy.url}/v1/products/renewed`;
    await get(url);
    state.title = 'second';
    // The contract's max-age is 5 s.
    await until(async () => (await get(url)).cache !== 'HIT', 20_000);
    await until(async () => (await get(url)).body.title === 'second');
    expect(state.reads).toBe(2);
  });

  test('while the server fails, the last answer is served', async () => {
    const url = `${proxy.url}/v1/products/failing`;
    await get(url);
    state.error = unavailable('the store');
    await sleep(6_000);
    expect(await get(url)).toMatchObject({ status: 200, cache: 'STALE', body: { title: 'first' } });
  });
});
