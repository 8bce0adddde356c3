import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { versions } from '../testing/doubles.ts';
import { testBroker } from '../testing/rabbit.ts';
import { applyPolicies } from './policies.ts';
import { bindHandler } from './register.ts';
import { partQueueName } from './topology.ts';

const management = process.env.RABBITMQ_MANAGEMENT_URL;

describeWith(['rabbitmq'], 'policies', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  (management ? test : test.skip)('bounds are policies, and can be set again', async () => {
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    rabbit.owns(['order-list.v1'], ['orders']);
    await bindHandler({
      broker: rabbit.direct,
      handler: { name: 'order-list.v1', entities: ['orders.order'] },
      registries: new Map([['orders', { follow: async () => ({ setAside: false, slotted: true, keys: [] }) }]]),
    });
    const queue = partQueueName('order-list.v1', 0, rabbit.prefix);
    const url = new URL(management!);
    const ask = async (method: string, path: string, body?: object) => {
      const authorization = `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}`;
      return fetch(`${url.protocol}//${url.host}/api/${path}`, {
        method,
        headers: { authorization, 'content-type': 'application/json' },
        body: body && JSON.stringify(body),
      });
    };
    for (const name of ['caudal-handlers', 'caudal-work', 'caudal-dead-letters', 'rival'])
      cleanups.push(() => ask('DELETE', `policies/%2F/${encodeURIComponent(rabbit.prefix + name)}`));
    // Like the policy of a system without a prefix, which matches every queue; it must not apply.
    const rival = {
      pattern: `^${rabbit.prefix}`,
      definition: { 'max-length': 1_000 },
      priority: 0,
      'apply-to': 'queues',
    };
    await ask('PUT', `policies/%2F/${rabbit.prefix}rival`, rival);
    await applyPolicies({ managementUrl: management!, prefix: rabbit.prefix, maxLength: 5 });
    await applyPolicies({ managementUrl: management!, prefix: rabbit.prefix, maxLength: 3 });
    const { channel, close } = await rabbit.direct.publishConnection('test');
    // The policy reaches the queue a moment after it is set.
    await until(async () => {
      for (const n of versions(10)) channel.sendToQueue(queue, Buffer.from(String(n)));
      await channel.waitForConfirms();
      return (await rabbit.ready(queue)) === 3;
    });
    const got: string[] = [];
    await channel.consume(queue, (message) => got.push(String(message?.content)), { noAck: true });
    await until(() => got.length === 3);
    expect(got[0]).toBe('8');
    await close();
  });
});
