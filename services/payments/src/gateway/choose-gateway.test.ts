import { ConfigError } from '@caudal/config/config.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { chooseGateway, type OpenGatewayOptions } from './choose-gateway.ts';
import { startSandboxGateway } from './sandbox.ts';

let ended: AbortController;

beforeEach(() => {
  ended = new AbortController();
});
afterEach(() => ended.abort());

const open = (options: Partial<OpenGatewayOptions>) =>
  chooseGateway({
    url: undefined,
    sandbox: false,
    development: false,
    apiKey: undefined,
    timeoutMs: 5_000,
    signal: ended.signal,
    ...options,
  });
const amount = { minorUnits: 1250n, currency: 'GBP' };
const charge = { key: 'p1', amount, cardToken: 'tok_approved' };

describe('the gateway of a process', () => {
  test('the sandbox, if it is chosen, or in development', async () => {
    for (const options of [{ sandbox: true }, { development: true }]) {
      expect(await (await open(options)).charge(charge)).toMatchObject({ kind: 'approved' });
    }
  });

  test('the configured one, in development too', async () => {
    const configured = await startSandboxGateway();
    await (await open({ url: configured.url, development: true })).charge(charge);
    expect(configured.ledger.get('p1')).toMatchObject({ taken: 1 });
    await configured.stop();
  });

  test('none, if the settings are unclear: the process does not start', async () => {
    const problems = async (options: Partial<OpenGatewayOptions>) => {
      const error = await open(options).catch((thrown: unknown) => thrown);
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map(({ name, fix }) => ({ name, fix }));
    };
    expect(await problems({})).toEqual([
      { name: 'PAYMENTS_GATEWAY_URL', fix: expect.stringContaining('PAYMENTS_GATEWAY=sandbox') },
    ]);
    expect(await problems({ url: 'https://gateway.example', sandbox: true })).toMatchObject([
      { name: 'PAYMENTS_GATEWAY' },
    ]);
  });
});
