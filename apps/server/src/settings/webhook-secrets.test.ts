import { ConfigError } from '@caudal/config/config.ts';
import { setting } from '@caudal/config/setting.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { probeServices, secret, webhookSetting } from '@caudal/rpc/testing/probe.ts';
import { expect, test } from '@jest/globals';
import { settings } from './settings.ts';
import { webhookSecrets } from './webhook-secrets.ts';

const declared = {
  [webhookSetting]: setting.secrets({ description: 'Of devices.', minLength: 32, optional: true }),
};
const given = { services: probeServices(), settings: declared, values: {}, development: false };

test('the secrets of served webhooks are read from the settings', () => {
  const values = { [webhookSetting]: [secret], OTHER_WEBHOOK_SECRET: ['x'] };
  expect(webhookSecrets({ ...given, values })).toEqual({ [webhookSetting]: [secret] });
  expect(webhookSecrets({ ...given, services: [] })).toEqual({});
});

test('a missing secret is reported by its setting, before anything is served', () => {
  const secrets = () => webhookSecrets(given);
  expect(secrets).toThrow(ConfigError);
  expect(secrets).toThrow(`${webhookSetting}: it is not set, so signatures of /caudal.probe.v1.ProbeService/Report`);
});

test('in development a random secret is made, a new one each time', () => {
  const made = () => webhookSecrets({ ...given, development: true })[webhookSetting]!;
  const [first, second] = [made(), made()];
  expect(first).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  expect(second).not.toEqual(first);
});

test.each([
  ['nowhere', {}],
  ['as no secret', { [webhookSetting]: setting.string({ description: 'Shown.', optional: true }) }],
])('a setting that is declared %s is a mistake in the code', (_, wrong) => {
  const values = { [webhookSetting]: [secret] };
  expect(() => webhookSecrets({ ...given, settings: wrong, values })).toThrow(`no context declares ${webhookSetting}`);
});

test('every webhook of the contract has a secret setting', () => {
  const own = contract()
    .methods()
    .filter(({ path }) => !path.startsWith('/caudal.probe.'));
  const named = own.flatMap(({ access }) => (access.webhook ? [access.webhook.secret] : []));
  expect(named.filter((name) => settings[name]?.secrecy !== 'secret')).toEqual([]);
});
