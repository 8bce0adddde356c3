/** A webhook from end to end: signed requests are served, and no others. */
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { localClient } from '../client/local-client.ts';
import type { Problem } from '../rest/problem.ts';
import { type Seen, start, stopAll, token } from '../testing/fixture.ts';
import { ProbeServiceService } from '../testing/gen/caudal/probe/v1/probe.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { nextSecret, probeServices, secret, startProbes, webhookSetting } from '../testing/probe.ts';
import { signWebhook } from '../testing/sign-webhook.ts';

const seen: Seen[] = [];
let server: Awaited<ReturnType<typeof startProbes>>;
beforeAll(async () => {
  server = await startProbes(seen);
});
afterAll(stopAll);

const requestId = '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
// No serializer would write it like this: the signature is over these exact bytes.
const body = `{ "note":"21.5 °C",\n "requestId":"${requestId}",  "probe_id": "p-7"}`;
const now = () => Math.floor(Date.now() / 1000);

async function report(headers: Record<string, string>, sent = body, url = server.url) {
  const response = await fetch(`${url}/v1/webhooks/measurements`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: sent,
  });
  const json = await response.json();
  return { status: response.status, headers: response.headers, json, problem: json as Problem };
}
const signed = (sent = body, secrets: string[] = [secret], seconds = now()) => ({
  'webhook-signature': signWebhook(secrets, sent, seconds),
});

describe('a webhook', () => {
  test('is called with a signature over its body', async () => {
    const { status, json } = await report(signed());
    expect([status, json]).toEqual([202, { probeId: 'p-7', ownerId: '', note: '21.5 °C' }]);
    const { call } = seen.at(-1)!;
    expect(call.caller).toEqual({ subject: 'webhook:probe-devices', permissions: new Set() });
    expect(call.origin.actor).toBe('webhook:probe-devices');
  });

  test('accepts a signature made by the commands of docs/api.md', async () => {
    const t = now();
    const v1 = createHmac('sha256', secret).update(`${t}.${body}`).digest('hex');
    expect((await report({ 'webhook-signature': `t=${t}, v2=later, v1=${v1.toUpperCase()}` })).status).toBe(202);
  });

  test('accepts each of its secrets, and senders may sign with several', async () => {
    const other = 'z'.repeat(32);
    for (const secrets of [[secret], [nextSecret], [other, nextSecret], [secret, other]])
      expect([secrets, (await report(signed(body, secrets))).status]).toEqual([secrets, 202]);
  });

  test('accepts a signature for five minutes, whichever clock is behind', async () => {
    for (const seconds of [-290, 290]) expect((await report(signed(body, [secret], now() + seconds))).status).toBe(202);
    for (const seconds of [-310, 310]) {
      const { status, problem } = await report(signed(body, [secret], now() + seconds));
      expect([status, problem.reason]).toEqual([401, 'SIGNATURE_EXPIRED']);
    }
  });

  test('recognises a replay by its request_id, and requires one', async () => {
    const once = signed();
    await report(once);
    await report(once);
    const [first, again] = seen.slice(-2).map(({ call }) => call.commandId!);
    expect(again).toEqual(first);
    const without = '{"probeId":"p-7"}';
    const { status, problem } = await report(signed(without), without);
    expect([status, problem.reason, problem.violations!.map(({ field }) => field)]).toEqual([
      400,
      'INVALID_REQUEST',
      ['request_id'],
    ]);
  });
});

describe('a webhook refuses', () => {
  const v1 = 'a'.repeat(64);
  test.each<[string, () => Record<string, string>, string]>([
    ['no signature', () => ({}), 'SIGNATURE_MISSING'],
    ['an empty one', () => ({ 'webhook-signature': '' }), 'SIGNATURE_MISSING'],
    ['one of another secret', () => signed(body, ['z'.repeat(32)]), 'SIGNATURE_INVALID'],
    ['one of another body', () => signed(`${body} `), 'SIGNATURE_INVALID'],
    [
      'one of another time',
      () => ({ 'webhook-signature': signed()['webhook-signature'].replace(/\d+/, `${now() - 7}`) }),
      'SIGNATURE_INVALID',
    ],
    ['no time', () => ({ 'webhook-signature': `v1=${v1}` }), 'SIGNATURE_INVALID'],
    ['two times', () => ({ 'webhook-signature': `t=${now()},t=${now()},v1=${v1}` }), 'SIGNATURE_INVALID'],
    ['a time that is not a number', () => ({ 'webhook-signature': `t=1e9,v1=${v1}` }), 'SIGNATURE_INVALID'],
    ['a time without signature', () => ({ 'webhook-signature': `t=${now()}` }), 'SIGNATURE_INVALID'],
    ['half a signature', () => ({ 'webhook-signature': `t=${now()},v1=${v1.slice(1)}` }), 'SIGNATURE_INVALID'],
    ['no hexadecimal', () => ({ 'webhook-signature': `t=${now()},v1=${'g'.repeat(64)}` }), 'SIGNATURE_INVALID'],
    [
      'too many',
      () => ({ 'webhook-signature': `t=${now()}${`,v1=${v1}`.repeat(8)},${signed()['webhook-signature'].slice(13)}` }),
      'SIGNATURE_INVALID',
    ],
    [
      'a header that is too long',
      () => ({ 'webhook-signature': `t=${now()},${'x'.repeat(1_100)}` }),
      'SIGNATURE_INVALID',
    ],
  ])('%s', async (_, headers, reason) => {
    const before = seen.length;
    const { status, problem, headers: answered } = await report(headers());
    expect([status, problem.reason, seen.length - before]).toEqual([401, reason, 0]);
    expect(answered.get('www-authenticate')).toBe('Webhook-Signature');
    expect(JSON.stringify(problem)).not.toMatch(new RegExp(`${secret}|${nextSecret}|at .*\\.ts`));
  });

  test('a token instead of a signature, whatever its permissions', async () => {
    const admin = await token('root', ['probe.probes.write:any']);
    expect((await report({ authorization: `Bearer ${admin}` })).problem.reason).toBe('SIGNATURE_MISSING');
  });

  test('a body without a valid signature before parsing it; a signed body may still be malformed', async () => {
    for (const wrong of ['{', '[1]', '{"probeId": 1}', '{"nope": ""}', '']) {
      expect((await report(signed(body), wrong)).problem.reason).toBe('SIGNATURE_INVALID');
      const answer = await report(signed(wrong), wrong);
      expect([wrong, answer.status]).toEqual([wrong, 400]);
    }
    const latin1 = Buffer.from('{"probeId":"\xe9"}', 'latin1');
    const answer = await fetch(`${server.url}/v1/webhooks/measurements`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'webhook-signature': signWebhook([secret], latin1) },
      body: latin1,
    });
    expect([answer.status, ((await answer.json()) as Problem).reason]).toEqual([400, 'MALFORMED_REQUEST']);
  });

  test('more bytes than its bound, before checking the signature', async () => {
    // The degree sign has two bytes.
    const [most, long] = [body.padEnd(2_047), body.padEnd(2_048)];
    const { status, problem } = await report(signed('x'), long);
    expect([status, problem.reason, problem.metadata]).toEqual([
      413,
      'REQUEST_TOO_LARGE',
      { max_request_bytes: '2048' },
    ]);
    expect((await report(signed(most), most)).status).toBe(202);
  });

  test('all other calls: gRPC, local calls, and the developer of auth: off', async () => {
    const request = { requestId, probeId: 'p-7', note: '' };
    const { reportMeasurement } = ProbeServiceService;
    const bytes = reportMeasurement.requestSerialize(request);
    const before = seen.length;
    const expected = { code: 'UNIMPLEMENTED', reason: 'WEBHOOK_ONLY' };
    const grpc = grpcCalls(server.address);
    const as = await token('service:probes', ['probe.probes.write:any']);
    expect(await grpc.refusal(reportMeasurement.path, bytes, { as })).toMatchObject(expected);
    const header = { 'webhook-signature': signWebhook([secret], bytes) };
    expect(await grpc.refusal(reportMeasurement.path, bytes, { headers: header })).toMatchObject(expected);
    grpc.close();
    const caller = { subject: 'service:probes', permissions: new Set(['*']) };
    const local = localClient(ProbeServiceService, probeServices(seen), caller);
    await expect(local.reportMeasurement(request)).rejects.toMatchObject(expected);
    const off = await startProbes(seen, { auth: 'off' });
    expect((await report({}, body, off.url)).problem.reason).toBe('SIGNATURE_MISSING');
    expect(seen.length).toBe(before);
    expect((await report(signed(), body, off.url)).status).toBe(202);
    await off.stop();
  });

  test('its caller in a token', async () => {
    for (const subject of ['webhook:probe-devices', 'public:anyone']) {
      const response = await fetch(`${server.url}/v1/probes/p-1`, {
        headers: { authorization: `Bearer ${await token(subject, ['probe.probes.read:any'])}` },
      });
      expect([response.status, ((await response.json()) as Problem).reason]).toEqual([401, 'TOKEN_INVALID']);
    }
  });
});

test.each<[string, Record<string, string[]>, string]>([
  ['no secret', {}, `ReportMeasurement is called with a signature, but ${webhookSetting} is not set`],
  ['an empty list', { [webhookSetting]: [] }, `${webhookSetting} holds 0 secrets`],
  ['a secret that can be guessed', { [webhookSetting]: [secret, 'short'] }, 'at least 32 characters'],
])('a server does not start with %s', async (_, webhookSecrets, message) => {
  await expect(start({ webhookSecrets }, probeServices())).rejects.toThrow(message);
});
