import { CaudalError } from '@caudal/kernel/errors.ts';
import { signWebhook } from '@caudal/rpc/testing/sign-webhook.ts';
import { describe, expect, test } from '@jest/globals';
import type { Trace } from '../domain/trace.ts';
import { formats } from './formats.ts';
import { type CarrierEndpoint, carrierWebhook } from './webhook.ts';

const now = new Date('2026-03-05T12:00:00Z');
const seconds = now.getTime() / 1000;
const [old, current] = ['an old secret of 32 characters ......', 'the current secret of 32 characters .'];
const trace = { trackingNumber: 'A1', happenedAt: '2026-03-05T11:00:00Z', status: 'IN_TRANSIT' };

function opened(record?: (traces: readonly Trace[]) => Promise<void>) {
  const recorded: Trace[] = [];
  const carriers = new Map<string, CarrierEndpoint>([
    ['acme', { adapter: formats.caudal('acme'), secrets: [old, current] }],
    ['ups', { adapter: formats.ups('ups'), secrets: [current] }],
  ]);
  const keep = async (traces: readonly Trace[]) => void recorded.push(...traces);
  return { recorded, receive: carrierWebhook({ carriers, record: record ?? keep, clock: () => now }) };
}

const call = (body: unknown, header?: string, carrier = 'acme') => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const signature = header ?? signWebhook([current], text, seconds);
  return { carrier, headers: { 'webhook-signature': signature }, body: Buffer.from(text) };
};

const refusal = async (promise: Promise<unknown>) => {
  const error = await promise.catch((thrown: unknown) => thrown);
  if (!(error instanceof CaudalError)) throw error;
  return `${error.code} ${error.reason}`;
};

describe('a carrier’s webhook', () => {
  test('records what is signed, with either secret, and says what it has not taken', async () => {
    const { receive, recorded } = opened();
    expect(await receive(call({ traces: [trace, { ...trace, status: 'X' }] }))).toEqual({
      accepted: 1,
      refused: [{ index: 1, field: 'traces[1].status', problem: expect.any(String) }],
    });
    const body = JSON.stringify({ traces: [trace] });
    await receive(call(body, signWebhook([old], body, seconds - 299)));
    expect(recorded.map(({ trackingNumber, receivedAt }) => [trackingNumber, receivedAt])).toEqual([
      ['A1', now],
      ['A1', now],
    ]);
  });

  test('takes nothing that is not signed, or was signed for another body or long ago', async () => {
    const { receive, recorded } = opened();
    const body = JSON.stringify({ traces: [trace] });
    expect(await refusal(receive(call(body, '')))).toBe('UNAUTHENTICATED SIGNATURE_MISSING');
    expect(await refusal(receive(call(body, signWebhook([current], `${body} `, seconds))))).toBe(
      'UNAUTHENTICATED SIGNATURE_INVALID',
    );
    expect(await refusal(receive(call(body, signWebhook(['x'.repeat(40)], body, seconds))))).toBe(
      'UNAUTHENTICATED SIGNATURE_INVALID',
    );
    for (const at of [seconds - 301, seconds + 301])
      expect(await refusal(receive(call(body, signWebhook([current], body, at))))).toBe(
        'UNAUTHENTICATED SIGNATURE_EXPIRED',
      );
    expect(await refusal(receive(call(body, undefined, 'nobody')))).toBe('NOT_FOUND CARRIER_UNKNOWN');
    expect(recorded).toEqual([]);
  });

  test('UPS repeats a credential', async () => {
    const { receive } = opened();
    const body = Buffer.from('{"trackResponse": {}}');
    expect(await receive({ carrier: 'ups', headers: { credential: current }, body })).toEqual({
      accepted: 0,
      refused: [],
    });
    expect(await refusal(receive({ carrier: 'ups', headers: { credential: old }, body }))).toBe(
      'UNAUTHENTICATED SIGNATURE_INVALID',
    );
    expect(await refusal(receive({ carrier: 'ups', headers: {}, body }))).toBe('UNAUTHENTICATED SIGNATURE_MISSING');
  });

  test('a body of another format is refused with the field', async () => {
    const { receive } = opened();
    expect(await refusal(receive(call('{"shipments": []}')))).toBe('INVALID_ARGUMENT CARRIER_BODY_UNREADABLE');
    expect(await refusal(receive(call('<xml/>')))).toBe('INVALID_ARGUMENT CARRIER_BODY_UNREADABLE');
  });

  test('what can’t be recorded is not answered as accepted', async () => {
    const full = async () => {
      throw new CaudalError('RESOURCE_EXHAUSTED', 'TOO_MANY', 'Later.', { retryAfterMs: 1_000 });
    };
    expect(await refusal(opened(full).receive(call({ traces: [trace] })))).toBe('RESOURCE_EXHAUSTED TOO_MANY');
  });
});
