import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { refusalOf } from '@caudal/testing/call.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { withBreaker } from './circuit-breaker.ts';
import { httpGateway } from './http-gateway.ts';
import { type SandboxGateway, startSandboxGateway } from './sandbox.ts';

let sandbox: SandboxGateway;
const amount = { minorUnits: 1250n, currency: 'GBP' };
const charge = (cardToken: string, key = 'p1') => ({ key, amount, cardToken });
const unknown = { code: 'DEADLINE_EXCEEDED', reason: 'GATEWAY_OUTCOME_UNKNOWN' };

beforeEach(async () => {
  sandbox = await startSandboxGateway();
});
afterEach(() => sandbox.stop());

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !holds(); await sleep(5)) {
    if (Date.now() > deadline) throw new Error('It did not happen.');
  }
}

const connect = (timeoutMs = 5_000) => httpGateway({ url: sandbox.url, apiKey: 'secret', timeoutMs });

describe('the gateway over HTTP', () => {
  test('a charge is approved once, however often it is repeated', async () => {
    const gateway = connect();
    const first = await gateway.charge(charge('tok_approved'));
    expect(first).toMatchObject({ kind: 'approved' });
    expect(await gateway.charge(charge('tok_approved'))).toEqual(first);
    expect(sandbox.ledger.get('p1')).toMatchObject({ state: 'approved', taken: 1, amount: '1250', currency: 'GBP' });
  });

  test('a decline is an answer, and final', async () => {
    const gateway = connect();
    expect(await gateway.charge(charge('tok_declined'))).toEqual({ kind: 'declined', reason: 'CARD_DECLINED' });
    expect(await gateway.charge(charge('tok_approved'))).toEqual({ kind: 'declined', reason: 'CARD_DECLINED' });
    expect(await gateway.charge(charge('tok_insufficient', 'p2'))).toEqual({
      kind: 'declined',
      reason: 'INSUFFICIENT_FUNDS',
    });
    expect(sandbox.ledger.get('p1')).toMatchObject({ taken: 0 });
  });

  test('no answer in time: the outcome is unknown until the charge is repeated', async () => {
    expect(await refusalOf(connect(300).charge(charge('tok_timeout')))).toEqual(unknown);
    // The request may reach the gateway after its caller has stopped waiting.
    await until(() => sandbox.ledger.get('p1')?.taken === 1);
    expect(await connect().charge(charge('tok_approved'))).toMatchObject({ kind: 'approved' });
    expect(sandbox.ledger.get('p1')).toMatchObject({ taken: 1 });
  });

  test('after any other answer than a decline, the money may still be taken', async () => {
    const gateway = connect();
    expect(await gateway.charge(charge('tok_conflict_then_ok_1'))).toEqual({
      kind: 'unclear',
      reason: 'GATEWAY_ANSWERED_409',
    });
    expect(sandbox.ledger.get('p1')).toMatchObject({ taken: 1 });
    expect(await gateway.charge(charge('tok_conflict_then_ok_1'))).toMatchObject({ kind: 'approved' });
  });

  test.each<[number, string, object]>([
    [402, '{"reason": "INSUFFICIENT_FUNDS"}', { kind: 'declined', reason: 'INSUFFICIENT_FUNDS' }],
    [422, '<p>No</p>', { kind: 'declined', reason: 'CARD_DECLINED' }],
    [400, '{}', { kind: 'unclear', reason: 'GATEWAY_ANSWERED_400' }],
    [403, '<p>No</p>', { kind: 'unclear', reason: 'GATEWAY_ANSWERED_403' }],
    [404, '', { kind: 'unclear', reason: 'GATEWAY_ANSWERED_404' }],
    [425, '{"reason": "TOO_EARLY"}', { kind: 'unclear', reason: 'TOO_EARLY' }],
    [401, '{}', { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' }],
    [429, '{}', { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' }],
    [503, '{}', unknown],
    [200, '<p>Yes</p>', unknown],
  ])('an answer of HTTP %i %s to a charge', async (status, body, expected) => {
    const server = createServer((_, response) => response.writeHead(status).end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const asked = httpGateway({ url, apiKey: '', timeoutMs: 5_000 }).charge(charge('tok_approved'));
      expect('code' in expected ? await refusalOf(asked) : await asked).toEqual(expected);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('a refund of a part has an Idempotency-Key that no other payment has', async () => {
    const keys: unknown[] = [];
    const server = createServer((request, response) => {
      keys.push(request.headers['idempotency-key']);
      response.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const gateway = httpGateway({ url, apiKey: '', timeoutMs: 5_000 });
      for (const charge of ['p1', 'p2']) await gateway.refundPart({ charge, key: '~rest', amount });
      expect(keys).toEqual(['p1/~rest', 'p2/~rest']);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('an error, or a broken connection: unknown too', async () => {
    expect(await refusalOf(connect().charge(charge('tok_error')))).toEqual(unknown);
    expect(await refusalOf(connect().charge(charge('tok_approved'), AbortSignal.abort()))).toEqual(unknown);
  });

  test('connection refused: nothing was done', async () => {
    const gateway = connect();
    await sandbox.stop();
    expect((await refusalOf(gateway.charge(charge('tok_approved')))).code).toBe('UNAVAILABLE');
  });

  test('a void wins over an earlier or later charge, a refund gives back once', async () => {
    const gateway = connect();
    await gateway.charge(charge('tok_approved'));
    expect(await gateway.void('p1')).toEqual({ kind: 'done' });
    await gateway.void('p1');
    expect(sandbox.ledger.get('p1')).toMatchObject({ state: 'voided', taken: 1, givenBack: 1 });
    await gateway.void('p2');
    expect(await gateway.charge(charge('tok_approved', 'p2'))).toEqual({ kind: 'declined', reason: 'VOIDED' });
    expect(sandbox.ledger.get('p2')).toMatchObject({ taken: 0 });
    await gateway.charge(charge('tok_approved', 'p3'));
    await gateway.refund('p3');
    await gateway.refund('p3');
    expect(sandbox.ledger.get('p3')).toMatchObject({ state: 'refunded', taken: 1, givenBack: 1 });
  });

  test('a void or refund that is refused: an answer', async () => {
    sandbox.setMode('refuse');
    expect(await connect().void('p1')).toEqual({ kind: 'refused', reason: 'GATEWAY_ANSWERED_409' });
    expect(await connect().refund('p1')).toEqual({ kind: 'refused', reason: 'GATEWAY_ANSWERED_409' });
  });

  test('a mode makes all calls fail, decline or stay unanswered', async () => {
    const gateway = connect();
    const tell = (mode: string) =>
      fetch(`${sandbox.url}/v1/control`, { method: 'PUT', body: JSON.stringify({ mode }) }).then(
        ({ status }) => status,
      );
    expect(await tell('fail')).toBe(200);
    expect(await refusalOf(gateway.void('p1'))).toEqual(unknown);
    expect(await tell('decline')).toBe(200);
    expect(await gateway.charge(charge('tok_approved', 'p2'))).toMatchObject({ kind: 'declined' });
    expect(await tell('timeout')).toBe(200);
    expect(await refusalOf(connect(300).charge(charge('tok_approved', 'p3')))).toEqual(unknown);
    expect(await tell('normal')).toBe(200);
    expect(await gateway.charge(charge('tok_approved', 'p3'))).toMatchObject({ kind: 'approved' });
    expect(await tell('strange')).toBe(400);
  });
});

describe('the breaker', () => {
  const fail = (gateway: ReturnType<typeof withBreaker>, n: number) =>
    refusalOf(gateway.charge(charge('tok_error', `e${n}`)));

  test('five failures in a row open it: calls fail at once, without the gateway', async () => {
    const gateway = withBreaker(connect());
    for (let n = 1; n <= 5; n++) expect(await fail(gateway, n)).toEqual(unknown);
    const before = sandbox.requests();
    const error = await gateway.charge(charge('tok_approved')).catch((thrown: unknown) => thrown as CaudalError);
    expect(error).toBeInstanceOf(CaudalError);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', reason: 'CIRCUIT_OPEN', retryAfterMs: 60_000 });
    expect((await refusalOf(gateway.void('p1'))).reason).toBe('CIRCUIT_OPEN');
    expect(sandbox.requests()).toBe(before);
    await gateway.stop();
  });

  test('an answer in between restarts the count, a decline too', async () => {
    const gateway = withBreaker(connect());
    for (let round = 1; round <= 3; round++) {
      for (let n = 1; n <= 4; n++) expect(await fail(gateway, n)).toEqual(unknown);
      expect(await gateway.charge(charge('tok_declined', `d${round}`))).toMatchObject({ kind: 'declined' });
    }
    for (let n = 1; n <= 10; n++) await gateway.charge(charge('tok_declined', `d${n}`));
    expect(await gateway.charge(charge('tok_approved'))).toMatchObject({ kind: 'approved' });
    await gateway.stop();
  });

  test('refusals are answers: they neither open it nor keep it open', async () => {
    const gateway = withBreaker(connect());
    sandbox.setMode('refuse');
    for (let n = 1; n <= 30; n++) expect(await gateway.void(`v${n}`)).toMatchObject({ kind: 'refused' });
    for (let n = 1; n <= 30; n++)
      expect(await gateway.charge(charge('tok', `u${n}`))).toMatchObject({ kind: 'unclear' });
    sandbox.setMode('normal');
    expect(await gateway.charge(charge('tok_approved'))).toMatchObject({ kind: 'approved' });
    await gateway.stop();
  });

  test('after a while one call is sent: it closes the circuit, or opens it for the same time again', async () => {
    const gateway = withBreaker(connect(), { resetMs: 300 });
    const probe = async () => {
      const deadline = Date.now() + 5_000;
      for (;;) {
        const asked = sandbox.requests();
        const result = await gateway.charge(charge('tok_approved')).catch((error: CaudalError) => error.reason);
        if (result !== 'CIRCUIT_OPEN') return { result, requests: sandbox.requests() - asked };
        if (Date.now() > deadline) throw new Error('The circuit stays open.');
        await sleep(5);
      }
    };
    for (let n = 1; n <= 5; n++) await fail(gateway, n);
    sandbox.setMode('fail');
    expect(await probe()).toEqual({ result: 'GATEWAY_OUTCOME_UNKNOWN', requests: 1 });
    expect((await refusalOf(gateway.charge(charge('tok_approved')))).reason).toBe('CIRCUIT_OPEN');
    sandbox.setMode('normal');
    expect(await probe()).toMatchObject({ result: { kind: 'approved' } });
    for (let n = 1; n <= 4; n++) expect(await fail(gateway, n)).toEqual(unknown);
    expect(await gateway.charge(charge('tok_approved'))).toMatchObject({ kind: 'approved' });
    await gateway.stop();
  });
});
