/** `caudal keys` and `caudal token`: keys of workloads, and tokens that the system accepts. */
import { openIdentity } from '@caudal/server/identity.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';
import { describe, expect, test } from '@jest/globals';
import { cli } from './testing/run-cli.ts';

const caudal = cli({});
const workloads = ['--workload', 'api=all@query,command', '--workload', 'mails=notifications,orders'];

interface Made {
  CAUDAL_SERVICE_JWKS: { keys: { kid: string; caudal_contexts: string[]; caudal_roles?: string[]; d?: string }[] };
  CAUDAL_SERVICE_KEY: Record<string, { kid: string; d: string }>;
}

describe('keys of workloads', () => {
  test('are made with one set, and each is bound to its contexts', async () => {
    const made = (await caudal('keys', ...workloads, '--json')).json() as unknown as Made;
    const { keys } = made.CAUDAL_SERVICE_JWKS;
    expect(keys.map((key) => key.caudal_contexts)).toEqual([['*'], ['notifications', 'orders']]);
    expect(keys.map((key) => key.caudal_roles)).toEqual([['query', 'command'], undefined]);
    expect(keys.every((key) => key.d === undefined)).toBe(true);
    expect(Object.keys(made.CAUDAL_SERVICE_KEY)).toEqual(['api', 'mails']);
    expect(Object.values(made.CAUDAL_SERVICE_KEY).map(({ kid }) => kid)).toEqual(keys.map(({ kid }) => kid));
    expect(keys[1]!.kid).toMatch(/^mails\./);

    // They are what a process expects.
    const open = (key: object) =>
      openIdentity(
        {
          ...{ CAUDAL_AUTH: 'jwt', CAUDAL_ISSUER: 'i', CAUDAL_AUDIENCE: 'a', CAUDAL_CUSTOMER_CLAIM: 'sub' },
          ...{ CAUDAL_JWKS: new URL('https://issuer.test/jwks'), CAUDAL_SERVICE_KEY: key },
          CAUDAL_SERVICE_JWKS: made.CAUDAL_SERVICE_JWKS,
        } as unknown as RuntimeValues,
        undefined,
      );
    const identity = await open(made.CAUDAL_SERVICE_KEY.mails!);
    const check = identity.auth as Exclude<typeof identity.auth, 'off'>;
    const tokenOf = (name: string) => identity.tokensOf({ name, permissions: [] })!();
    expect(await check(`Bearer ${await tokenOf('notifications')}`)).toMatchObject({ kind: 'service' });
    await expect(async () => check(`Bearer ${await tokenOf('payments')}`)).rejects.toMatchObject({
      reason: 'TOKEN_INVALID',
    });
  });

  test('are Secrets for Kubernetes: one each, and one with the set', async () => {
    const list = (await caudal('keys', ...workloads, '--kubernetes', 'keys')).json() as {
      kind: string;
      items: { metadata: { name: string }; stringData: Record<string, string> }[];
    };
    expect(list.kind).toBe('List');
    expect(list.items.map(({ metadata, stringData }) => [metadata.name, Object.keys(stringData)])).toEqual([
      ['keys-public', ['CAUDAL_SERVICE_JWKS']],
      ['keys-api', ['CAUDAL_SERVICE_KEY']],
      ['keys-mails', ['CAUDAL_SERVICE_KEY']],
    ]);
    expect(list.items[0]!.stringData.CAUDAL_SERVICE_JWKS).not.toContain('"d"');
  });

  test.each([
    [['--workload', 'api'], 'write NAME=CONTEXTS'],
    [['--workload', 'api=all@'], 'write NAME=CONTEXTS'],
    [['--workload', 'api=baskets'], 'There is no context "baskets"'],
    [['--workload', 'api=all@relays'], 'There is no role "relays"'],
    [['--workload', 'api=all', '--workload', 'api=orders'], 'is given twice'],
    [['--kubernetes', 'keys'], 'add --workload'],
    [['--workload', 'api=all', '--id', 'mine'], 'leave out --id'],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await caudal('keys', ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe('a token', () => {
  test('that would be refused for its lifetime is not made, and the message names the setting', async () => {
    const { json } = await caudal('keys', '--json');
    const { CAUDAL_SERVICE_KEY } = json() as { CAUDAL_SERVICE_KEY: object };
    const signing = cli({ CAUDAL_USER_KEY: JSON.stringify(CAUDAL_SERVICE_KEY), CAUDAL_TOKEN_MAX_LIFETIME: '2h' });
    const ask = (ttl: string) =>
      signing('token', '--subject', 'ada', '--permission', 'orders.orders.read', '--ttl', ttl);
    expect((await ask('2h')).code).toBe(0);
    const { code, stderr } = await ask('3h');
    expect([code, stderr]).toEqual([2, expect.stringContaining('CAUDAL_TOKEN_MAX_LIFETIME allows 120 minutes')]);
  });
});
