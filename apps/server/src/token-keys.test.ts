import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openToken, sealToken, setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Role, roles } from './settings/settings.ts';
import { useTokenKeys } from './token-keys.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'caudal-token-keys-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
afterAll(() => setTokenKeys(undefined));

const valuesOf = (set: { DATABASE_URL?: string; CAUDAL_TOKEN_KEYS?: [{ id: string; key: Buffer }] } = {}) => ({
  ...{ DATABASE_URL: undefined, CAUDAL_TOKEN_KEYS: undefined, CAUDAL_DATA_DIR: directory },
  ...{ CAUDAL_ROLES: [...roles] as Role[], ...set },
});
/** A token of a process with these settings. */
async function tokenOf(set: Parameters<typeof valuesOf>[0]): Promise<string> {
  await useTokenKeys(valuesOf(set));
  return sealToken('page', 'x');
}

test('an embedded system makes a key once, which only its owner can read, and keeps it', async () => {
  await Promise.all([useTokenKeys(valuesOf()), useTokenKeys(valuesOf())]);
  const token = sealToken('page', 'x');
  const file = join(directory, 'token-keys');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const made = readFileSync(file, 'utf8');
  setTokenKeys(undefined);
  expect(openToken('page', token)).toBeUndefined();
  await useTokenKeys(valuesOf());
  expect(openToken('page', token)).toBe('x');
  expect(readFileSync(file, 'utf8')).toBe(made);
});

test('a file that is broken is an error that does not show it', async () => {
  writeFileSync(join(directory, 'token-keys'), 'secret');
  await expect(useTokenKeys(valuesOf())).rejects.toThrow('key 1 is not written as <id>:<base64>');
});

test('keys of the setting count before all others', async () => {
  const key = { id: 'set', key: randomBytes(32) };
  for (const DATABASE_URL of [undefined, 'postgres://a:b@c/d']) {
    const token = await tokenOf({ DATABASE_URL, CAUDAL_TOKEN_KEYS: [key] });
    setTokenKeys([key]);
    expect(openToken('page', token)).toBe('x');
  }
});

test('processes with the same credentials open the tokens of each other, however they reach the database', async () => {
  const token = await tokenOf({ DATABASE_URL: 'postgres://caudal:s%3Acret@db:5432/shop?sslmode=require' });
  const opens = async (DATABASE_URL: string) => {
    await useTokenKeys(valuesOf({ DATABASE_URL }));
    return openToken('page', token) !== undefined;
  };
  expect(await opens('postgresql://caudal:s%3Acret@127.0.0.1:6000/shop')).toBe(true);
  for (const other of ['caudal:secret@db/shop', 'caudal@db/shop', 'other:s%3Acret@db/shop', 'caudal:s%3Acret@db/other'])
    expect(await opens(`postgres://${other}`)).toBe(false);
});
