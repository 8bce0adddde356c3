import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { letPass } from '../testing/let-pass.ts';
import { keySource } from './key-sets.ts';
import { generateKey, type Key } from './tokens.ts';

let key: Key;
beforeAll(async () => {
  key = await generateKey('k1');
});

const minute = 60_000;

let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let url: URL;
beforeEach(async () => {
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`);
});
afterEach(() => {
  jest.useRealTimers();
  server.closeAllConnections();
  server.close();
});
const json = (response: ServerResponse, value: unknown, headers: Record<string, string> = {}) => {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
};
const idsOf = async (source: ReturnType<typeof keySource>) => (await source.get()).keys.map(({ kid }) => kid);

describe('keys at a URL', () => {
  test('that have not changed are not sent again, and stay the same object', async () => {
    const asked: (string | undefined)[] = [];
    answer = (request, response) => {
      asked.push(request.headers['if-none-match']);
      if (request.headers['if-none-match'] === '"1"') response.writeHead(304).end();
      else json(response, { keys: [key.publicKey] }, { etag: '"1"' });
    };
    const source = keySource(url);
    const first = await source.get();
    letPass(minute);
    expect(await source.get()).toBe(first);
    expect(asked).toEqual([undefined, '"1"']);
  });

  test('without an etag are the same object if they have the same text, and another one if not', async () => {
    let keys: object[] = [key.publicKey];
    answer = (_, response) => json(response, { keys });
    const source = keySource(url);
    const first = await source.get();
    letPass(minute);
    expect(await source.get()).toBe(first);
    keys = [];
    letPass(minute);
    expect((await source.get()).keys).toEqual([]);
  });

  test('private and shared keys are left out', async () => {
    answer = (_, response) => json(response, { keys: [key.privateKey, { kty: 'oct', k: 'AA' }, null, key.publicKey] });
    expect((await keySource(url).get()).keys).toEqual([key.publicKey]);
  });

  test.each<[string, (response: ServerResponse) => void, string | RegExp]>([
    ['a redirect', (response) => response.writeHead(302, { location: '/other' }).end(), 'has answered 302'],
    ['an error', (response) => response.writeHead(500).end(), 'has answered 500'],
    ['no JSON', (response) => response.end('<html>'), /JSON/],
    ['no list', (response) => json(response, { keys: 1 }), 'no list "keys"'],
    ['too many keys', (response) => json(response, { keys: Array(101).fill(key.publicKey) }), '101 keys'],
    ['too much', (response) => response.end(Buffer.alloc(300 * 1024, 32)), 'at most 262144 bytes'],
  ])('%s is none', async (_, reply, wrong) => {
    answer = (__, response) => reply(response);
    await expect(keySource(url).get()).rejects.toThrow(wrong);
  });

  test('an answer that does not come is given up', async () => {
    answer = () => {};
    const before = performance.now();
    await expect(keySource(url).get()).rejects.toThrow();
    expect(performance.now() - before).toBeLessThan(10_000);
  }, 20_000);
});

describe('keys in a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-keys-'));
  const file = join(folder, 'jwks.json');
  afterEach(() => rmSync(file, { force: true }));

  test('are read again; a file that is gone or half written counts as out of reach', async () => {
    writeFileSync(file, JSON.stringify({ keys: [key.publicKey] }));
    const source = keySource(pathToFileURL(file), { maxStaleMs: 60 * minute });
    expect(await idsOf(source)).toEqual(['k1']);
    writeFileSync(file, '{"keys": [');
    letPass(minute);
    expect(await idsOf(source)).toEqual(['k1']);
    writeFileSync(file, '{"keys": []}');
    letPass(minute);
    await source.get();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await idsOf(source)).toEqual([]);
    rmSync(file);
    letPass(61 * minute);
    await expect(source.get()).rejects.toThrow('ENOENT');
  });
});

describe('discovery', () => {
  const metadata = '/.well-known/openid-configuration';

  test('finds the keys by the metadata, reads that again after a while, and when the keys are gone', async () => {
    const asked: string[] = [];
    let keysPath = '/keys';
    answer = (request, response) => {
      asked.push(request.url!);
      if (request.url === metadata) json(response, { issuer: url.origin, jwks_uri: `${url.origin}${keysPath}` });
      else if (request.url === keysPath) json(response, { keys: [key.publicKey] });
      else response.writeHead(404).end();
    };
    const source = keySource({ issuer: url.origin, allowHttp: false });
    expect(await idsOf(source)).toEqual(['k1']);
    letPass(minute);
    await source.get();
    expect(asked).toEqual([metadata, '/keys', '/keys']);
    keysPath = '/moved';
    letPass(minute);
    await source.get();
    letPass(minute);
    await source.get();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked.slice(3)).toEqual(['/keys', metadata, '/moved']);
  });

  test.each<[string, (origin: string) => object, string]>([
    ['another issuer', () => ({ issuer: 'https://else.test' }), 'calls itself "https://else.test"'],
    ['an issuer with a slash', (origin) => ({ issuer: `${origin}/` }), 'calls itself'],
    ['no keys', () => ({ jwks_uri: undefined }), 'jwks_uri'],
    ['keys of another host at http://', () => ({ jwks_uri: 'http://else.test/keys' }), 'jwks_uri'],
    ['keys in a file', () => ({ jwks_uri: 'file:///etc/passwd' }), 'jwks_uri'],
  ])('%s is refused', async (_, wrong, message) => {
    answer = (__, response) =>
      json(response, { issuer: url.origin, jwks_uri: `${url.origin}/keys`, ...wrong(url.origin) });
    await expect(keySource({ issuer: url.origin, allowHttp: false }).get()).rejects.toThrow(message);
  });
});
