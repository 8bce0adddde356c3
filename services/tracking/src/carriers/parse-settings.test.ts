import { loadConfig } from '@caudal/config/config.ts';
import { describe, expect, test } from '@jest/globals';
import { settings } from '../settings.ts';
import { askedCarriers, polledCarriers, pushingCarriers } from './configured.ts';
import { parseCarriers, parseKeys, parseSecrets, parseUrls } from './parse-settings.ts';

const [first, second, third] = ['a'.repeat(32), 'b:='.repeat(11), 'c'.repeat(40)];
const clock = () => new Date('2026-03-05T12:00:00Z');
const load = (env: Record<string, string>) => loadConfig(settings, { env });

describe('the settings of carriers', () => {
  test('are read', () => {
    expect([...parseCarriers('acme=caudal, dhl=dhl')]).toEqual([
      ['acme', 'caudal'],
      ['dhl', 'dhl'],
    ]);
    expect([...parseSecrets(`acme:${first},dhl:${third}, acme:${second}`)]).toEqual([
      ['acme', [first, second]],
      ['dhl', [third]],
    ]);
    expect([...parseUrls('dhl=https://api.example/,acme=http://127.0.0.1:8099/acme')]).toEqual([
      ['dhl', 'https://api.example'],
      ['acme', 'http://127.0.0.1:8099/acme'],
    ]);
    expect([...parseKeys('dhl:key,ups:me:my:secret')]).toEqual([
      ['dhl', ['key']],
      ['ups', ['me', 'my:secret']],
    ]);
  });

  test.each<[string, () => unknown, string]>([
    ['a format', () => parseCarriers('acme=fedex'), 'one of caudal, dhl, ups'],
    ['a name twice', () => parseCarriers('acme=caudal,acme=dhl'), 'acme is given twice'],
    ['a name in capitals', () => parseCarriers('DHL=dhl'), "part 1 does not begin with a carrier's name"],
    ['a name that is not its own key', () => parseCarriers('dhl--express=dhl'), 'single "-" between'],
    ['nothing', () => parseCarriers('acme='), 'part 1 has nothing behind "="'],
    ['a short secret', () => parseSecrets('acme:short'), 'a secret of acme has fewer than 32 characters'],
    ['three secrets', () => parseSecrets([1, 2, 3].map(() => `acme:${first}`).join()), 'more than 2 secrets'],
    ['a secret of two carriers', () => parseSecrets(`acme:${first},dhl:${first}`), 'dhl and acme have the same secret'],
    ['plain HTTP to elsewhere', () => parseUrls('dhl=http://api.example'), 'the URL of dhl is not https://'],
    ['credentials in a URL', () => parseUrls('dhl=https://me:secret@api.example'), 'leave them out'],
  ])('%s is refused with the fault', (_, parse, fault) => {
    expect(parse).toThrow(fault);
  });

  test('show no secret in what they throw', () => {
    for (const text of [`ACME:${first}`, first, `acme:${first.slice(1)}`]) {
      expect(() => parseSecrets(text)).toThrow();
      expect(() => parseSecrets(text)).not.toThrow('aaaa');
    }
  });

  test('make the carriers that push and those that are asked', async () => {
    const values = load({
      TRACKING_CARRIERS: 'acme=caudal,dhl=dhl,ups=ups',
      TRACKING_CARRIER_SECRETS: `acme:${first},acme:${second}`,
      TRACKING_CARRIER_URLS: 'dhl=https://api.example,ups=https://ups.example',
      TRACKING_CARRIER_KEYS: 'dhl:key,ups:me:secret',
    });
    const pushing = pushingCarriers(values);
    expect([...pushing].map(([name, { adapter, secrets }]) => [name, adapter.name, secrets])).toEqual([
      ['acme', 'acme', [first, second]],
    ]);
    expect([...askedCarriers(values)]).toEqual(['dhl', 'ups']);
    const polled = polledCarriers(values, clock);
    expect(
      polled.map(({ adapter, base, concurrency, perSecond, timeoutMs }) => [
        ...[adapter.name, base, concurrency, perSecond, timeoutMs],
      ]),
    ).toEqual([
      ['dhl', 'https://api.example', 4, 5, 10_000],
      ['ups', 'https://ups.example', 4, 5, 10_000],
    ]);
    expect(await polled[0]!.credentials.current(new AbortController().signal)).toBe('key');
    expect(pushingCarriers(load({})).size).toBe(0);
    expect(polledCarriers(load({}), clock)).toEqual([]);
  });

  test('that do not fit each other name the setting', () => {
    const secrets = load({ TRACKING_CARRIERS: 'dhl=dhl', TRACKING_CARRIER_SECRETS: `acme:${first}` });
    expect(() => pushingCarriers(secrets)).toThrow('TRACKING_CARRIER_SECRETS: it names the carrier acme');
    const urls = { TRACKING_CARRIERS: 'ups=ups', TRACKING_CARRIER_URLS: 'ups=https://ups.example' };
    expect(() => polledCarriers(load(urls), clock)).toThrow('TRACKING_CARRIER_KEYS: it has none for ups');
    expect(() => polledCarriers(load({ ...urls, TRACKING_CARRIER_KEYS: 'ups:key' }), clock)).toThrow(
      'Write ups:ID:SECRET',
    );
  });
});
