/** A method's options in OpenAPI, over a contract that has all of them. */
import { contract } from '@caudal/contract/descriptors.ts';
import { afterAll, describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { stopAll } from '../testing/fixture.ts';
import { startProbes } from '../testing/probe.ts';
import { openApi } from './openapi.ts';

type Json = { [key: string]: Json };
const document = JSON.parse(JSON.stringify(openApi(contract().methods()))) as Json;
const operation = (method: string, path: string) => document.paths![path]![method]!;
const statuses = ({ responses }: Json) => Object.keys(responses!);
afterAll(stopAll);

describe('the OpenAPI document', () => {
  test('is valid, with every option in use', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect([valid, errors]).toEqual([true, undefined]);
  });

  test('has the status of success, with its Location', () => {
    const create = operation('post', '/v1/probes');
    expect(statuses(create)).toEqual(['201', '400', '401', '403', '413', '429', '503', 'default']);
    expect(create.responses!['201']!.headers!.Location).toEqual({
      description: 'Where it is read: `/v1/probes/{probe_id}`.',
      schema: { type: 'string' },
    });
    expect(statuses(operation('post', '/v1/probes/{probe_id}:start'))).toContain('202');
    expect(operation('post', '/v1/probes/{probe_id}:start').responses!['202']!.headers).not.toHaveProperty('Location');
    expect(statuses(operation('post', '/v1/orders'))).toContain('200');
  });

  test('has the bound of a request, if there is one', () => {
    expect(operation('post', '/v1/probes').requestBody!.description).toBe('At most 1024 bytes.');
    expect(operation('post', '/v1/probes/{probe_id}:start').requestBody).not.toHaveProperty('description');
    expect(statuses(operation('get', '/v1/probes/{probe_id}'))).toContain('413');
    expect(statuses(operation('get', '/v1/orders/{order_id}'))).not.toContain('413');
  });

  test('has the authentication of callers', () => {
    expect(operation('post', '/v1/probes')).not.toHaveProperty('security');
    const webhook = operation('post', '/v1/webhooks/measurements');
    expect([webhook.security, statuses(webhook)]).toEqual([
      [{ webhook: [] }],
      ['202', '400', '401', '413', '429', '503', 'default'],
    ]);
    const open = operation('post', '/v1/probes:feedback');
    expect([open.security, statuses(open)]).toEqual([[], ['200', '400', '413', '429', '503', 'default']]);
    expect(open.description).toContain('Public: it takes no token.');
    expect(document.components!.securitySchemes!.webhook).toMatchObject({ in: 'header', name: 'Webhook-Signature' });
    expect(JSON.stringify(document)).not.toMatch(/CheckProbe|PROBE_DEVICES_WEBHOOK_SECRET/);
  });

  test('has the class of rate limit of every operation', () => {
    const limits = Object.values(document.paths!).flatMap((item) =>
      Object.values(item).map((each) => each['x-caudal-rate-limit'] as unknown as string),
    );
    expect(limits).not.toContain(undefined);
    expect(operation('post', '/v1/webhooks/measurements')['x-caudal-rate-limit']).toBe('WEBHOOK');
    expect(operation('post', '/v1/probes:import')['x-caudal-rate-limit']).toBe('HEAVY');
  });

  test('has no security scheme that no method needs', () => {
    const { methods } = contract();
    const plain = openApi(methods().filter(({ access }) => !access.webhook)) as unknown as Json;
    expect(Object.keys(plain.components!.securitySchemes!)).toEqual(['bearer']);
  });

  test('is what a server serves', async () => {
    const server = await startProbes([]);
    const served = (await (await fetch(`${server.url}/openapi.json`)).json()) as Json;
    expect(served.paths!['/v1/webhooks/measurements']).toEqual(document.paths!['/v1/webhooks/measurements']);
  });
});
