/** `caudal migrate` and RabbitMQ's policies, on the real broker's management API. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cli } from './testing/run-cli.ts';

const management = process.env.RABBITMQ_MANAGEMENT_URL;

describeWith(['postgres', 'rabbitmq'], 'caudal migrate with RabbitMQ', () => {
  const namespace = `cli_${process.pid}_${Date.now().toString(36)}`;
  let fresh: FreshDatabase;
  let caudal: ReturnType<typeof cli>;

  const policy = async (name: string, method = 'GET') => {
    const url = new URL(management!);
    const path = `/api/policies/%2F/${namespace}.${name}`;
    const authorization = `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}`;
    return fetch(`${url.protocol}//${url.host}${path}`, { method, headers: { authorization } });
  };

  beforeAll(async () => {
    fresh = await freshDatabase();
    caudal = cli({
      DATABASE_URL: fresh.url,
      RABBITMQ_URL: serverUrl('rabbitmq'),
      RABBITMQ_MANAGEMENT_URL: management!,
      CAUDAL_NAMESPACE: namespace,
      CAUDAL_CONTEXTS: 'shipping',
    });
  });
  afterAll(async () => {
    for (const name of ['caudal-handlers', 'caudal-work', 'caudal-dead-letters']) await policy(name, 'DELETE');
    await fresh.drop();
  });

  test('sets them, and reports which are pending', async () => {
    const done = await caudal('migrate', '--json');
    expect(done).toMatchObject({ code: 0 });
    expect(done.json()).toMatchObject({
      contexts: [{ context: 'shipping' }, { context: 'caudal_audit' }],
      policies: [
        `${namespace}.caudal-parts-4`,
        `${namespace}.caudal-parts-8`,
        `${namespace}.caudal-handlers`,
        `${namespace}.caudal-work`,
        `${namespace}.caudal-dead-letters`,
      ],
    });
    expect((await policy('caudal-handlers')).status).toBe(200);
    expect(await caudal('migrate', '--check')).toMatchObject({ code: 0 });
    await policy('caudal-dead-letters', 'DELETE');
    const pending = await caudal('migrate', '--check');
    expect(pending).toMatchObject({ code: 1 });
    expect(pending.stdout).toContain(`to do: policy ${namespace}.caudal-dead-letters`);
  }, 60_000);
});
