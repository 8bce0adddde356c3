/** The checks of the fuzzers find what is wrong with an answer: a check that never complains would be useless. */
import { contract } from '@caudal/contract/descriptors.ts';
import { StreamTracesResponse } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { Status } from '@caudal/contract/gen/google/rpc/status.ts';
import { CaudalError, type Code } from '@caudal/kernel/errors.ts';
import { statusBytes, toStatus } from '@caudal/rpc/errors.ts';
import { toProblem } from '@caudal/rpc/rest/problem.ts';
import { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import { judge, maxAnswerBytes } from './answers.ts';
import type { FuzzCall } from './calls.ts';
import { framed, type GrpcReply } from './grpc-call.ts';
import { judgeHttp } from './http-answers.ts';
import { insides } from './insides.ts';

const reasons = new Map([
  ['ORDER_NOT_FOUND', 'NOT_FOUND'],
  ['INTERNAL', 'INTERNAL'],
]);
const method = contract().method('/caudal.orders.v1.OrderQueryService/GetOrder');

function replyTo(error: CaudalError): GrpcReply {
  const { code, details, metadata } = toStatus(error, new Metadata());
  const bin = (metadata.get('grpc-status-details-bin')[0] as Buffer).toString('base64');
  const headers = { 'grpc-status': String(code), 'grpc-message': encodeURI(details), 'grpc-status-details-bin': bin };
  return { ended: 'answered', httpStatus: 200, headers, body: Buffer.of(), ms: 1 };
}
const answer = (body: Buffer): GrpcReply => ({
  ended: 'answered',
  httpStatus: 200,
  headers: { 'grpc-status': '0' },
  body,
  ms: 1,
});
const call = (excuses: FuzzCall['excuses'] = []) =>
  ({ method, excuses, message: new Uint8Array(10) }) as unknown as FuzzCall;
const faultsOf = (reply: GrpcReply, excuses?: FuzzCall['excuses']) => judge(call(excuses), reply, reasons).faults;
const missing = new CaudalError('NOT_FOUND', 'ORDER_NOT_FOUND', 'There is no order "x".');
const told = (code: Code, reason: string, message = 'x') => replyTo(new CaudalError(code, reason, message));

describe('the check of gRPC', () => {
  test('accepts what is documented', () => {
    expect(faultsOf(replyTo(missing))).toEqual([]);
    expect(faultsOf(answer(framed(Buffer.of())))).toEqual([]);
  });

  test.each<[string, GrpcReply, string]>([
    ['an internal error', told('INTERNAL', 'INTERNAL'), 'code INTERNAL'],
    ['a deadline without cause', told('DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'), 'code DEADLINE_EXCEEDED'],
    [
      'a reason of another code',
      told('ABORTED', 'ORDER_NOT_FOUND'),
      'reason ORDER_NOT_FOUND, which is catalogued as NOT_FOUND',
    ],
    ['an unknown reason', told('ABORTED', 'X'), 'reason X, which is catalogued as undefined'],
    [
      'a stack',
      told('NOT_FOUND', 'ORDER_NOT_FOUND', 'at read (/srv/a.ts:1:2)'),
      'shows something internal: at read (/srv/a.ts:1:2',
    ],
    ['no details', { ...replyTo(missing), headers: { 'grpc-status': '5', 'grpc-message': 'x' } }, '0 times ErrorInfo'],
    ['no message', answer(Buffer.of()), '0 messages'],
    ['another message', answer(framed(Buffer.of(0xff))), 'no Order: '],
    ['half a message', answer(framed(Buffer.of(), { length: 9 })), 'broken messages'],
    ['too much', answer(framed(Buffer.alloc(maxAnswerBytes))), `${maxAnswerBytes + 5} bytes`],
    ['no end', { ...answer(Buffer.of()), ended: 'overdue' }, 'the call was overdue'],
    ['another protocol', { ...answer(framed(Buffer.of())), httpStatus: 502 }, 'HTTP 502'],
  ])('sees %s', (_, reply, fault) => {
    expect(faultsOf(reply).join('; ')).toContain(fault);
  });

  test('demands that a request over the bound of its method is refused for that', () => {
    const reasonsOfSize = new Map([['REQUEST_TOO_LARGE', 'RESOURCE_EXHAUSTED']]);
    const tooLarge = replyTo(new CaudalError('RESOURCE_EXHAUSTED', 'REQUEST_TOO_LARGE', 'Too large.'));
    const bounded = (maxRequestBytes: number) => ({ ...call(), method: { ...method, maxRequestBytes } });
    expect(judge(bounded(9), tooLarge, reasonsOfSize).faults).toEqual([]);
    expect(judge(bounded(10), tooLarge, reasonsOfSize).faults).toEqual(['code RESOURCE_EXHAUSTED']);
    expect(judge(bounded(9), answer(Buffer.of()), reasonsOfSize).faults).toContain('code OK');
  });

  test('sees what is wrong with an error in the answer of a stream', () => {
    const ofStream = { ...call(), method: contract().method('/caudal.tracking.v1.TrackingService/StreamTraces') };
    const faults = (code: Code, reason: string) => {
      const error = Status.decode(statusBytes(new CaudalError(code, reason, 'x')));
      const bytes = StreamTracesResponse.encode({ results: [], accepted: 0, error }).finish();
      return judge(ofStream, answer(framed(bytes)), reasons).faults;
    };
    expect(faults('NOT_FOUND', 'ORDER_NOT_FOUND')).toEqual([]);
    expect(faults('INTERNAL', 'INTERNAL')).toEqual(['code INTERNAL']);
    expect(faults('ABORTED', 'ORDER_NOT_FOUND').join()).toContain('catalogued as NOT_FOUND');
  });

  test("accepts codes that the call's headers cause", () => {
    const late = new CaudalError('DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', 'Too late.');
    const reasonsOfTime = new Map([['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED']]);
    expect(judge(call(['soon']), replyTo(late), reasonsOfTime).faults).toEqual([]);
    expect(judge(call(), replyTo(late), reasonsOfTime).faults).toEqual(['code DEADLINE_EXCEEDED']);
  });
});

describe('the check of HTTP', () => {
  const problem = toProblem(missing, 'r-1');
  function response(status: number, body: string, type = 'application/problem+json'): string {
    const headers = [`Content-Type: ${type}`, 'X-Request-Id: r-1', `Content-Length: ${Buffer.byteLength(body)}`];
    return [`HTTP/1.1 ${status} X`, ...headers, '', body].join('\r\n');
  }
  const faults = (received: string, ended: 'closed' | 'reset' | 'overdue' = 'closed', unfinished = false) =>
    judgeHttp(
      { method: 'GET', bytes: Buffer.of(), unfinished },
      { received: Buffer.from(received), ended, ms: 1 },
      reasons,
    ).faults;

  test('accepts what is documented', () => {
    expect(faults(response(404, JSON.stringify(problem)))).toEqual([]);
    expect(faults(response(200, '{}', 'application/json'))).toEqual([]);
    expect(faults(response(200, '{}') + response(404, JSON.stringify(problem)))).toEqual([]);
    expect(faults('', 'closed', true)).toEqual([]);
  });

  test.each<[string, string[], string]>([
    ['an internal error', faults(response(500, JSON.stringify({ ...problem, status: 500 }))), 'status 500'],
    ['another type', faults(response(404, JSON.stringify(problem), 'text/html')), '404 as text/html'],
    ['no JSON', faults(response(404, '<html>')), '404 with a body that is not JSON'],
    ['another status', faults(response(404, JSON.stringify({ ...problem, status: 400 }))), '404 with a problem of 400'],
    ['a member too few', faults(response(404, JSON.stringify({ ...problem, detail: '' }))), 'a problem without detail'],
    ['another instance', faults(response(404, JSON.stringify({ ...problem, instance: 'x' }))), 'instance x'],
    ['an unknown reason', faults(response(404, JSON.stringify({ ...problem, reason: 'X' }))), 'X is not catalogued'],
    [
      'a stack',
      faults(response(404, JSON.stringify({ ...problem, detail: 'TypeError: x' }))),
      'shows something internal',
    ],
    ['no end', faults('', 'overdue'), 'the connection stayed open'],
    ['no answer', faults(''), 'no answer'],
    ['no HTTP', faults('oops\r\n\r\n'), 'no status line'],
    ['half an answer', faults(response(404, JSON.stringify(problem)).slice(0, -5)), 'a body of'],
    [
      'a header missing',
      faults(response(401, JSON.stringify({ ...problem, status: 401 }))),
      '401 without www-authenticate',
    ],
  ])('sees %s', (_, found, fault) => {
    expect(found.join('; ')).toContain(fault);
  });
});

test.each([
  'Error: x\n    at Object.<anonymous> (/srv/app/packages/rpc/src/rest/rest.ts:10:3)',
  'at async file:///app/x.js:1:22',
  'cannot find /app/node_modules/pg',
  'TypeError: x is not a function',
  'SELECT * FROM events WHERE',
  'duplicate key value violates unique constraint "x"',
  'value "9" is out of range for type bigint',
  'connect ECONNREFUSED 127.0.0.1:5432',
  'postgres://user@host/db',
])('something internal is found in: %s', (text) => {
  expect(text).toMatch(insides);
});

test.each([
  'There is no order "x".',
  'lines[0].quantity must be at least 1 (and 1 more).',
  'must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
  'at least one of them must be given: select it, or update the order',
])('and not in: %s', (text) => {
  expect(text).not.toMatch(insides);
});
