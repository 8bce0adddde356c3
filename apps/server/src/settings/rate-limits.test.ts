import { loadConfig } from '@caudal/config/config.ts';
import { expect, test } from '@jest/globals';
import { parseRateLimit } from './rate-limits.ts';
import { settings } from './settings.ts';

test.each([
  ['5000/10s', { calls: 5_000, windowMs: 10_000 }],
  ['1/1s', { calls: 1, windowMs: 1_000 }],
  ['600/1m', { calls: 600, windowMs: 60_000 }],
  ['999999999/1h', { calls: 999_999_999, windowMs: 3_600_000 }],
  ['off', undefined],
])('%s is a rate', (text, quota) => {
  expect(parseRateLimit(text)).toEqual({ quota });
});

test.each([
  '',
  '0/10s',
  '5000',
  '5000/',
  '5000/10',
  '5000/0s',
  '5000/2h',
  '5000/10ms',
  '-1/1s',
  '1e3/1s',
  'on',
  '5 / 1s',
])('"%s" is refused, with what is expected', (text) => {
  expect(() => parseRateLimit(text)).toThrow('"off", or calls and a time of 1s to 1h');
});

test.each([
  ['CAUDAL_TRUSTED_PROXIES', 'kong', 'is no IP address and no network'],
  ['CAUDAL_TRUSTED_PROXIES', '0.0.0.0/0', 'name your proxies'],
  ['CAUDAL_REQUEST_MEMORY', '1MiB', 'CAUDAL_REQUEST_MEMORY'],
  ['CAUDAL_REQUEST_BODY_TIMEOUT', '0s', 'CAUDAL_REQUEST_BODY_TIMEOUT'],
  ['CAUDAL_RATE_LIMIT_WRITE', 'many', 'is not "off", or calls'],
])('%s may not be %s', (name, text, wrong) => {
  expect(() => loadConfig(settings, { env: { [name]: text } })).toThrow(wrong);
});
