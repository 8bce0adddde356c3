/** What the settings of TLS make of a process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@caudal/config/config.ts';
import { type Mounted, makeAuthority, mount } from '@caudal/tls/testing/certificates.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { settings } from './settings/settings.ts';
import type { TlsValues } from './settings/tls-settings.ts';
import { openTls, trustConfigured } from './tls.ts';

const authority = makeAuthority();
const made = authority.make(['caudal.test.svc']);
let files: Mounted;
let folder: string;
beforeAll(async () => {
  files = await mount(made, authority.ca);
  folder = mkdtempSync(join(tmpdir(), 'caudal-tls-settings-'));
});
afterAll(() => {
  files.remove();
  rmSync(folder, { recursive: true });
});

const values = (env: Record<string, string>) => loadConfig(settings, { env }) as unknown as TlsValues;
const opened = async (env: Record<string, string>) => {
  const tls = await openTls(values(env));
  await tls.stop();
  return tls;
};
const certificate = () => ({ CAUDAL_TLS_CERTIFICATE: files.certificate, CAUDAL_TLS_KEY: files.key });

describe('the settings decide', () => {
  test('nothing without them', async () => {
    expect(await opened({})).toMatchObject({ ports: undefined, calls: undefined });
  });

  test('both ports and all calls with a certificate', async () => {
    const { ports, calls } = await opened({
      ...certificate(),
      CAUDAL_TLS_CA: files.ca,
      CAUDAL_TLS_SERVER_NAME: 'caudal.test.svc',
      CAUDAL_TLS_CLIENTS: 'services',
    });
    expect(ports).toMatchObject({ plaintext: false, clientName: 'caudal.test.svc' });
    expect(calls).toMatchObject({ serverName: 'caudal.test.svc' });
  });

  test('the steps of turning it on', async () => {
    const accept = await opened({ ...certificate(), CAUDAL_TLS_PLAINTEXT: 'true', CAUDAL_TLS_CALLS: 'false' });
    expect([accept.ports?.plaintext, accept.calls]).toEqual([true, undefined]);
    const call = await opened({ ...certificate(), CAUDAL_TLS_PLAINTEXT: 'true' });
    expect([call.ports?.plaintext, call.calls !== undefined]).toEqual([true, true]);
    const onlyCalls = await opened({ CAUDAL_TLS_CALLS: 'true' });
    expect([onlyCalls.ports, onlyCalls.calls !== undefined]).toEqual([undefined, true]);
  });
});

describe('files that can not be used are named by their settings', () => {
  test.each([
    ['CAUDAL_TLS_CERTIFICATE', "can't be read (ENOENT)"],
    ['CAUDAL_TLS_KEY', "can't be read (ENOENT)"],
    ['CAUDAL_TLS_CA', "can't be read (ENOENT)"],
  ])('%s', async (name, wrong) => {
    const opening = opened({ ...certificate(), CAUDAL_TLS_CA: files.ca, [name]: '/nowhere/file.pem' });
    await expect(opening).rejects.toMatchObject({
      name: 'ConfigError',
      problems: [{ name, wrong: expect.stringContaining(wrong), fix: expect.stringContaining('PEM') }],
    });
  });

  test('CAUDAL_TRUSTED_CA', () => {
    const empty = join(folder, 'empty.crt');
    writeFileSync(empty, '');
    expect(() => trustConfigured(values({ CAUDAL_TRUSTED_CA: empty }))).toThrow(
      /CAUDAL_TRUSTED_CA: .*empty\.crt has no certificate in PEM/,
    );
  });

  test('and so is the variable that turns all checks off, if TLS is required', () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      expect(() => trustConfigured(values({}))).not.toThrow();
      expect(() => trustConfigured(values({ CAUDAL_TLS_REQUIRED: 'true' }))).toThrow(
        /NODE_TLS_REJECT_UNAUTHORIZED: it is 0/,
      );
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    }
  });
});
