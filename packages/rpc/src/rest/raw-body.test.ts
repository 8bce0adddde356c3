/** A request whose body stays as it was sent: a carrier's push. */
import { contract } from '@caudal/contract/descriptors.ts';
import {
  type ReceiveCarrierPushRequest,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { start, stopAll } from '../testing/fixture.ts';
import { service } from '../types.ts';
import { openApi } from './openapi.ts';

const path = '/caudal.tracking.v1.TrackingService/ReceiveCarrierPush';
/** No serializer would write it like this, and no message of the contract has these fields. */
const body = '{ "shipments" : [ {"id":"A1"} ],\n "shipments": 7 }';

describe('a raw body', () => {
  let server: Awaited<ReturnType<typeof start>>;
  let seen: ReceiveCarrierPushRequest[];
  beforeEach(() => {
    seen = [];
  });
  beforeAll(async () => {
    const unused = async () => {
      throw new CaudalError('UNIMPLEMENTED', 'UNIMPLEMENTED', 'Not in this test.');
    };
    const tracking = service(TrackingServiceService, {
      recordTraces: unused,
      streamTraces: unused,
      async receiveCarrierPush(request) {
        seen.push(request);
        if (request.signature === 'wrong') throw new CaudalError('UNAUTHENTICATED', 'SIGNATURE_INVALID', 'Not so.');
        return { accepted: 1, refused: [] };
      },
    });
    server = await start({}, [tracking]);
  });
  afterAll(stopAll);

  const post = (headers: Record<string, string> = {}, sent: string | Uint8Array = body, carrier = 'acme') =>
    fetch(`${server.url}/v1/carriers/${carrier}/webhook`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: sent,
    });

  test('reaches the handler byte for byte, with the headers that the contract names', async () => {
    const answer = await post({ 'webhook-signature': 't=1,v1=2', credential: 'shown', other: 'x' });
    expect([answer.status, await answer.json()]).toEqual([200, { accepted: 1, refused: [] }]);
    expect(seen).toEqual([{ carrier: 'acme', body: expect.anything(), signature: 't=1,v1=2', credential: 'shown' }]);
    expect(Buffer.from(seen[0]!.body).toString()).toBe(body);
    const bytes = Uint8Array.of(0xff, 0x00, 0x7b);
    expect((await post({}, bytes)).status).toBe(200);
    expect(Uint8Array.from(seen[1]!.body)).toEqual(bytes);
    expect(seen[1]).toMatchObject({ signature: '', credential: '' });
  });

  test('is bounded, and the other parts are checked as ever', async () => {
    expect((await post({}, 'x'.repeat(1_048_577))).status).toBe(413);
    const wrong = await post({}, body, 'ACME');
    expect([wrong.status, await wrong.json()]).toEqual([
      400,
      expect.objectContaining({ violations: [expect.objectContaining({ field: 'carrier' })] }),
    ]);
    expect((await post({ credential: 'x'.repeat(1_025) })).status).toBe(400);
    expect(seen).toEqual([]);
  });

  test('what its handler does not believe is answered as such', async () => {
    const answer = await post({ 'webhook-signature': 'wrong' });
    expect([answer.status, ((await answer.json()) as { reason: string }).reason]).toEqual([401, 'SIGNATURE_INVALID']);
  });

  test('is any object in OpenAPI, with its headers as parameters', () => {
    const { paths } = openApi([contract().method(path)]) as unknown as {
      paths: Record<
        string,
        { post: { parameters: { name: string; in: string }[]; requestBody: unknown; responses: object } }
      >;
    };
    const { parameters, requestBody, responses } = paths['/v1/carriers/{carrier}/webhook']!.post;
    expect(parameters.map((each) => `${each.in} ${each.name}`)).toEqual([
      'path carrier',
      'header X-Request-Id',
      'header webhook-signature',
      'header credential',
    ]);
    expect(requestBody).toMatchObject({ content: { 'application/json': { schema: { type: 'object' } } } });
    expect(Object.keys(responses)).toContain('401');
  });
});
