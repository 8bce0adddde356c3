import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '@caudal/config/config.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { contexts } from './contexts.ts';
import { keepsPersonalTexts } from './local-context.ts';
import { assertKeysKnown, openPersonalData, type PersonalDataValues } from './personal-data.ts';
import { settings } from './settings/settings.ts';

const { CAUDAL_PERSONAL_DATA_KEYS, CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA } = settings;
const valuesOf = (env: Record<string, string>) =>
  loadConfig({ CAUDAL_PERSONAL_DATA_KEYS, CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA }, { env }) as PersonalDataValues;
const key = () => randomBytes(32).toString('base64');

describe('the wrapping key of an embedded system', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'caudal-keys-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const file = () => join(directory, 'personal-data.key');

  test('is made at the first start, once, readable by its owner only', async () => {
    const opened = await Promise.all(Array.from({ length: 4 }, () => openPersonalData(valuesOf({}), directory)));
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const before = readFileSync(file(), 'utf8');
    const wrapped = await opened[0]!.wrapping!.wrap(Buffer.alloc(32, 1), 'c1');
    for (const { wrapping } of [...opened, await openPersonalData(valuesOf({}), directory)])
      expect(await wrapping!.unwrap({ wrapped, by: wrapping!.current }, 'c1')).toEqual(Buffer.alloc(32, 1));
    expect(readFileSync(file(), 'utf8')).toBe(before);
  });

  test('is none if one is configured, or if unsealed data is allowed', async () => {
    const configured = await openPersonalData(valuesOf({ CAUDAL_PERSONAL_DATA_KEYS: `2026:${key()}` }), directory);
    expect(configured.wrapping!.current).toBe('2026');
    const allowed = await openPersonalData(valuesOf({ CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: 'true' }), directory);
    expect(allowed).toMatchObject({ wrapping: undefined, writePlain: true });
    expect(() => statSync(file())).toThrow('ENOENT');
    expect(await openPersonalData(valuesOf({}), undefined)).toMatchObject({ wrapping: undefined, writePlain: false });
  });

  test('that is damaged ends the start, and is not shown', async () => {
    const secret = key().slice(5);
    writeFileSync(file(), `embedded:${secret}`);
    const error = await openPersonalData(valuesOf({}), directory).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(file());
    expect((error as Error).message).not.toContain(secret);
  });
});

describe('CAUDAL_PERSONAL_DATA_KEYS', () => {
  test('that are invalid end the start, and are not shown', () => {
    const secret = key();
    const load = () => valuesOf({ CAUDAL_PERSONAL_DATA_KEYS: `2026:${secret},2026:${secret}` });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow('given twice');
    try {
      load();
    } catch (error) {
      expect((error as Error).message).not.toContain(secret);
    }
  });
});

describe('a wrapping key that is in use', () => {
  const start = async (keys: string | undefined, roles: string[], used: string[]) => {
    const values = valuesOf(
      keys ? { CAUDAL_PERSONAL_DATA_KEYS: keys } : { CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: 'true' },
    );
    const database = { query: async <R>() => used.map((wrapped_by) => ({ wrapped_by })) as R[] };
    const personalData = await openPersonalData(values, undefined);
    const settingsOf = { CAUDAL_ROLES: roles, CAUDAL_CONTEXTS: ['customers'] } as never;
    return assertKeysKnown(settingsOf, [{ context: { name: 'customers' }, database, personalData }]);
  };

  test('must be known to a process that reads or writes personal data', async () => {
    const [old, current] = [`2026:${key()}`, `2027:${key()}`];
    await start(`${current},${old}`, ['command'], ['2026', '2027']);
    await start(current, ['command'], []);
    await expect(start(current, ['command'], ['2026', '2027'])).rejects.toThrow('lacks the key "2026"');
    await expect(start(undefined, ['query'], ['2026'])).rejects.toThrow(ConfigError);
    await start(undefined, ['relay', 'projector'], ['2026']);
  });
});

describe('states with personal texts', () => {
  test('are those of customers and orders, and none of them can outlive an erasure', () => {
    expect(
      contexts
        .filter(keepsPersonalTexts)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['customers', 'orders']);
    const [customer] = contexts.find(({ name }) => name === 'customers')!.deciders;
    for (const wrong of [
      { ...customer!, forgetIdle: undefined },
      { ...customer!, snapshot: { every: 10, schemaVersion: 1 } },
    ])
      expect(() => keepsPersonalTexts({ deciders: [wrong] })).toThrow('customers.customer has personal fields');
  });
});
