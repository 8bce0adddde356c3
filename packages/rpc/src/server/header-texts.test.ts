/** Headers that are there twice, and headers whose texts are stored: no card number gets into an event, a log or the audit log. */
import { connect as openSession } from 'node:http2';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { trace } from '@opentelemetry/api';
import { extractTrace, headerNames, idHeader } from '../headers.ts';
import { talk } from '../testing/connections.ts';
import { type Seen, services, start, stopAll, token } from '../testing/fixture.ts';
import { useIdempotencyKey } from './idempotency-key.ts';
import { repeatedIn } from './repeated-headers.ts';

afterEach(stopAll);

const card = '4111111111111111';

describe('a header twice', () => {
  const names = ['Authorization', 'X-Request-Id', 'Idempotency-Key', 'Consistency-Token', 'Webhook-Signature'];

  test.each(names)('%s: REST refuses the call', async (name) => {
    const server = await start();
    const good = `Bearer ${await token('alice', ['orders.orders.read'])}`;
    const twice = name === 'Authorization' ? [good, good] : ['a', 'a'];
    const lines = [`authorization: ${good}`, ...twice.map((value) => `${name}: ${value}`)];
    const sent = name === 'Authorization' ? lines.slice(1) : lines;
    const answer = talk(server.restPort!, `GET /v1/orders/o-1 HTTP/1.1\r\nhost: a\r\n${sent.join('\r\n')}\r\n\r\n`);
    await until(() => answer.heard.includes('}'));
    expect(answer.heard).toMatch(/^HTTP\/1.1 400 [\s\S]*MALFORMED_REQUEST[\s\S]*more than once/);
    answer.socket.destroy();
  });

  test('authorization: gRPC refuses the call, also the first of its connection', async () => {
    const seen: Seen[] = [];
    const server = await start({}, services(seen));
    const good = `Bearer ${await token('alice', ['orders.orders.read'])}`;
    // Node's client refuses to send it otherwise.
    const session = openSession(`http://${server.address}`, { strictSingleValueFields: false } as never);
    const send = (times: number) => {
      const fields = [':method', 'POST', ':path', OrderQueryServiceService.getOrder.path, ':scheme', 'http'];
      fields.push(':authority', 'a', 'content-type', 'application/grpc', 'te', 'trailers');
      for (let n = 0; n < times; n++) fields.push('authorization', good);
      const stream = session.request(fields as never, { endStream: false });
      const got: Record<string, unknown> = {};
      stream.on('response', (headers) => Object.assign(got, headers));
      stream.on('trailers', (headers) => Object.assign(got, headers));
      stream.on('error', () => {});
      stream.resume();
      const message = OrderQueryServiceService.getOrder.requestSerialize({ orderId: 'o-1', readMask: undefined });
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([head, message]));
      return got;
    };
    const refused = send(2);
    await until(() => refused['grpc-status'] !== undefined);
    expect([refused['grpc-status'], refused['grpc-message']]).toEqual(['3', expect.stringContaining('authorization')]);
    const served = send(1);
    await until(() => served['grpc-status'] !== undefined);
    expect(served['grpc-status']).toBe('0');
    expect(seen).toHaveLength(1);
    session.destroy();
  });

  test("is found whatever its case; others' headers may be there twice", () => {
    expect(repeatedIn(['Authorization', 'a', 'host', 'b', 'authorization', 'c'])).toBe('authorization');
    expect(repeatedIn(['accept', 'a', 'accept', 'b', 'x-forwarded-for', 'c', 'x-forwarded-for', 'd'])).toBeUndefined();
  });
});

describe('a card number', () => {
  test.each([headerNames.requestId, headerNames.causationId, headerNames.correlationId])('in %s is dropped', (name) => {
    for (const value of [card, '4111-1111-1111-1111', `a.${card}`]) expect(idHeader(() => value, name)).toBeUndefined();
    for (const value of ['0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101', 'call-17', '1732967371123456'])
      expect(idHeader(() => value, name)).toBe(value);
  });

  test('in X-Request-Id is in no event and no answer', async () => {
    const seen: Seen[] = [];
    const server = await start({}, services(seen));
    const response = await fetch(`${server.url}/v1/orders/o-1`, {
      headers: { authorization: `Bearer ${await token('alice', ['orders.orders.read'])}`, 'x-request-id': card },
    });
    expect([response.status, response.headers.get('x-request-id')]).toEqual([
      200,
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ]);
    expect(JSON.stringify(seen[0]!.call.origin)).not.toContain(card);
  });

  test("in a trace begins another trace; its vendors' part is dropped", () => {
    const of = (traceparent: string, tracestate = '') =>
      trace.getSpanContext(extractTrace((name) => ({ traceparent, tracestate })[name]));
    const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(of(good, 'v=1')).toMatchObject({ traceId: good.slice(3, 35) });
    expect(of(`00-${card}abcdefabcdefabcd-b7ad6b7169203331-01`)).toBeUndefined();
    expect(of(good, `v=${card}`)!.traceState?.serialize() ?? '').not.toContain(card);
  });

  test('in Idempotency-Key is refused: the command is stored by its hash', () => {
    const request = { requestId: '' };
    for (const value of [card, `"order ${card}"`])
      expect(() => useIdempotencyKey(request, value)).toThrow(expect.objectContaining({ reason: 'MALFORMED_REQUEST' }));
    useIdempotencyKey(request, 'order-17');
    expect(request.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });
});
