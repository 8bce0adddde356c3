import { checkConfig } from '@caudal/config/config.ts';
import { expect, test } from '@jest/globals';
import { payments } from './context.ts';

test('the gateway may not take longer than a step of a saga, which would be cut off before the outcome', () => {
  const wrong = (env: Record<string, string>) => checkConfig(payments.settings, env).problems.map(({ name }) => name);
  expect(wrong({ PAYMENTS_GATEWAY_TIMEOUT: '10s' })).toEqual([]);
  expect(wrong({ PAYMENTS_GATEWAY_TIMEOUT: '11s' })).toEqual(['PAYMENTS_GATEWAY_TIMEOUT']);
});
