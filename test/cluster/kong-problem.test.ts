/**
 * What Kong's own refusals become: the Lua of charts/caudal/files, run by a real Lua (wasmoon). Kong itself is not here: its
 * functions are stubs that do what its documentation says.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type LuaEngine, LuaFactory } from 'wasmoon';
import { root } from './chart.ts';

const read = (part: string) => readFileSync(join(root, `charts/caudal/files/kong-problem-${part}.lua`), 'utf8');
const code = { headers: read('headers'), body: read('body') };
let lua: LuaEngine;
beforeAll(async () => {
  lua = await new LuaFactory().createEngine();
});
afterAll(() => lua.global.close());

interface Answer {
  source: 'service' | 'exit' | 'error';
  status: number;
  request?: Record<string, string>;
  body?: string;
}

/** An answer after both filters. */
async function filtered({ source, status, request = {}, body = '{"message":"no Route matched"}' }: Answer) {
  const headers: Record<string, string> = { 'content-type': 'application/json', 'content-length': String(body.length) };
  const sent = { body };
  lua.global.set('kong', {
    ctx: { plugin: {} },
    request: { get_header: (name: string) => request[name] },
    response: {
      get_source: () => source,
      get_status: () => status,
      set_header: (name: string, value: string) => {
        headers[name] = value;
      },
      clear_header: (name: string) => {
        delete headers[name];
      },
      get_raw_body: () => body,
      set_raw_body: (text: string) => {
        sent.body = text;
      },
    },
  });
  lua.global.set('ngx', { var: { request_id: 'a1b2' } });
  await lua.doString(code.headers);
  await lua.doString(code.body);
  return { headers, body: sent.body };
}

test.each([400, 401, 403, 404, 405, 413, 414, 417, 429, 500, 502, 503, 504])(
  '%d of Kong becomes a problem',
  async (status) => {
    const { headers, body } = await filtered({ source: status < 500 ? 'exit' : 'error', status });
    expect(headers).toEqual({ 'content-type': 'application/problem+json', 'x-request-id': 'a1b2' });
    expect(JSON.parse(body)).toEqual({
      type: 'urn:caudal:reason:GATEWAY',
      title: expect.any(String),
      status,
      detail: expect.stringContaining('gateway'),
      instance: 'urn:caudal:request:a1b2',
      code: expect.stringMatching(/^[A-Z_]+$/),
      reason: 'GATEWAY',
    });
  },
);

test('answers of Caudal, those of success, and those to gRPC stay as they are', async () => {
  const kept: Answer[] = [
    { source: 'service', status: 503 },
    { source: 'exit', status: 200 },
    { source: 'error', status: 502, request: { 'content-type': 'application/grpc+proto' } },
  ];
  for (const answer of kept) {
    const { headers, body } = await filtered({ ...answer, body: 'as it was' });
    expect([headers['content-type'], body]).toEqual(['application/json', 'as it was']);
  }
});

test("the caller's id is the problem's, unless it is one that could break it", async () => {
  const idOf = async (id: string) =>
    (await filtered({ source: 'exit', status: 429, request: { 'x-request-id': id } })).headers['x-request-id'];
  expect(await idOf('my-call:7')).toBe('my-call:7');
  for (const bad of ['', ' ', '"', 'a"b', 'x'.repeat(129)]) expect(await idOf(bad)).toBe('a1b2');
});
