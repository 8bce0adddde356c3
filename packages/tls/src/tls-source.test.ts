import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { TlsFileError, TlsFiles, TlsSet } from './read-set.ts';
import { type Mounted, makeAuthority, mount } from './testing/certificates.ts';
import { openTlsSource, type TlsSource } from './tls-source.ts';

const authority = makeAuthority();
const one = authority.make(['one.test']);
const other = authority.make(['other.test']);
let files: Mounted;
const opened: TlsSource[] = [];

beforeEach(async () => {
  files = await mount(one, authority.ca);
});
afterEach(async () => {
  for (const source of opened.splice(0)) await source.stop();
  files.remove();
});

async function open(of: TlsFiles = files, everyMs = 60_000): Promise<TlsSource> {
  const source = await openTlsSource(of, { purpose: 'test', everyMs });
  opened.push(source);
  return source;
}

const refusal = (of: TlsFiles = files): Promise<TlsFileError> =>
  open(of).then(
    () => {
      throw new Error('it opened');
    },
    (error) => error,
  );

describe('a certificate from files', () => {
  test('is what they hold, with the end of the certificate', async () => {
    const { certificate, key, ca, expires } = (await open()).current();
    expect([certificate, key, ca].map(String)).toEqual([one.certificate, one.key, authority.ca]);
    expect(expires!.getTime()).toBeGreaterThan(Date.now());
  });

  test('is replaced when Kubernetes swaps the symlink, once, and listeners learn it', async () => {
    const source = await open();
    const seen: TlsSet[] = [];
    const end = source.onChange((set) => seen.push(set));
    await files.swap(other, authority.ca);
    await source.look();
    await source.look();
    expect(seen.map(({ certificate }) => String(certificate))).toEqual([other.certificate]);
    expect(String(source.current().key)).toBe(other.key);
    end();
    await files.swap(one, authority.ca);
    await source.look();
    expect(seen).toHaveLength(1);
  });

  test('is looked at by itself', async () => {
    const source = await open(files, 20);
    const changed = new Promise<TlsSet>((resolve) => source.onChange(resolve));
    await files.swap(other, authority.ca);
    expect(String((await changed).certificate)).toBe(other.certificate);
  });

  test.each([
    ['the key of another certificate', () => files.swap({ ...other, key: one.key }, authority.ca)],
    ['half a certificate', () => files.swap({ ...other, certificate: other.certificate.slice(0, 200) }, authority.ca)],
    ['no certificate of an authority', () => files.swap(other, 'nothing')],
    ['no files', async () => rmSync(files.key)],
  ])('stays while the files have %s, and is replaced when they fit', async (_, spoil) => {
    const source = await open();
    let changes = 0;
    source.onChange(() => {
      changes += 1;
    });
    await spoil();
    await source.look();
    expect(changes).toBe(0);
    expect(String(source.current().certificate)).toBe(one.certificate);
    if (_ === 'no files') writeFileSync(files.key, one.key);
    else await files.swap(other, authority.ca);
    await source.look();
    expect(String(source.current().certificate)).toBe(_ === 'no files' ? one.certificate : other.certificate);
  });

  test('has authorities alone, or nothing, if no more is named', async () => {
    expect(Object.keys((await open({ ca: files.ca })).current())).toEqual(['ca']);
    expect((await open({})).current()).toEqual({});
  });

  test('opens with an expired certificate, so that a new file mends it', async () => {
    await files.swap(authority.make(['late.test'], { endsMs: -60_000 }), authority.ca);
    expect((await open()).current().expires!.getTime()).toBeLessThan(Date.now());
  });
});

describe('files that can not be used', () => {
  test.each([
    ['certificate', 'has no certificate in PEM', () => files.swap({ ...one, certificate: one.key }, authority.ca)],
    ['key', 'has no key in PEM', () => files.swap({ ...one, key: one.certificate }, authority.ca)],
    ['key', 'is not the key of the certificate in', () => files.swap({ ...one, key: other.key }, authority.ca)],
    ['ca', 'has no certificate in PEM', () => files.swap(one, '')],
    ['ca', 'is longer than 1 MiB', () => files.swap(one, authority.ca.padEnd(2 ** 20 + 1))],
    ['ca', 'has more than 1000 certificates', () => files.swap(one, authority.ca.repeat(1_001))],
  ])('name the file and what is wrong: %s %s', async (kind, wrong, spoil) => {
    await spoil();
    const error = await refusal();
    expect(error.kind).toBe(kind);
    expect(error.message).toContain(wrong);
    expect(error.message).toContain(files[kind as 'ca']);
  });

  test('are missing', async () => {
    const error = await refusal({ ...files, key: '/nowhere/tls.key' });
    expect([error.kind, error.message]).toEqual(['key', "/nowhere/tls.key can't be read (ENOENT)"]);
  });
});
