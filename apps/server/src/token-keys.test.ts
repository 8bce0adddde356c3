import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openToken, sealToken, setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Role, roles } from './settings/settings.ts';
import { parseTokenKeyList } from './settings/token-key-list.ts';
import { useTokenKeys } from './token-keys.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'caudal-token-keys-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
afterAll(() => setTokenKeys(undefined));

const valuesOf = (set: { DATABASE_URL?: string; CAUDAL_TOKEN_KEYS?: ReturnType<typeof parseTokenKeyList> } = {}) => ({
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

/** The processes of a system in turn: each roll-out replaces one half of them after the other. */
async function refusedIn(rollOuts: Parameters<typeof valuesOf>[0][]): Promise<number[]> {
  const refused: number[] = [];
  for (let next = 1; next < rollOuts.length; next++) {
    const halves = [rollOuts[next - 1], rollOuts[next]];
    for (const maker of halves)
      for (const reader of halves) {
        const token = await tokenOf(maker);
        await useTokenKeys(valuesOf(reader));
        if (openToken('page', token) === undefined) refused.push(next);
      }
  }
  return refused;
}

test.each([
  ['a database', 'postgres://a:b@c/d'],
  ['an embedded system', undefined],
])(
  "from the key of %s to the setting's, and on to another role, no token is refused if it is done in steps",
  async (_, DATABASE_URL) => {
    const first = { DATABASE_URL, CAUDAL_TOKEN_KEYS: undefined };
    const text = `2026:${randomBytes(32).toString('base64')}`;
    const step = (list: string) => ({ DATABASE_URL, CAUDAL_TOKEN_KEYS: parseTokenKeyList(list) });
    const last = { ...step(text), ...(DATABASE_URL && { DATABASE_URL: 'postgres://app:other@c/d' }) };
    expect(await refusedIn([first, step(`derived,${text}`), step(`${text}, derived`), last])).toEqual([]);
    // At once, each half refuses what the other one makes.
    expect(await refusedIn([first, last])).toEqual([1, 1]);
  },
);

test('a list names a fault and shows no key', () => {
  const text = `a:${randomBytes(32).toString('base64')}`;
  expect(parseTokenKeyList('derived')).toEqual(['derived']);
  expect(() => parseTokenKeyList(`derived,${text},derived`)).toThrow('"derived" is given twice');
  for (const wrong of [`derived,${text},${text}`, 'derived,', 'derived,Derived', ''])
    expect(() => parseTokenKeyList(wrong)).toThrow(/^(?!.*a:.)/);
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
