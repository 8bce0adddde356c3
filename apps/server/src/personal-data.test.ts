import { randomBytes } from 'node:crypto';
import { ConfigError, loadConfig } from '@caudal/config/config.ts';
import { customer } from '@caudal/contract/entities.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { usePersonalDataKeys } from './personal-data.ts';
import { type RuntimeValues, settings } from './settings/settings.ts';

const use = (keys: string | undefined) => {
  const { CAUDAL_PERSONAL_DATA_KEYS } = settings;
  usePersonalDataKeys(
    loadConfig({ CAUDAL_PERSONAL_DATA_KEYS }, { env: { CAUDAL_PERSONAL_DATA_KEYS: keys } }) as RuntimeValues,
  );
};
const key = () => randomBytes(32).toString('base64');
const event = {
  $case: 'updated' as const,
  value: { displayName: 'Ada Lovelace', email: 'ada@example.org', country: 'GB' },
};

afterEach(() => use(undefined));

describe('CAUDAL_PERSONAL_DATA_KEYS', () => {
  test('encrypt with the first key and decrypt with all of them, through a rotation and back to none', () => {
    const [first, second] = [`2026:${key()}`, `2027:${key()}`];
    const plain = customer.encode(event);
    use(first);
    const old = customer.encode(event);
    expect(Buffer.from(old.data).toString('latin1')).not.toMatch(/Ada|example/);
    use(`${second},${first}`);
    const current = customer.encode(event);
    for (const encoded of [plain, old, current]) expect(customer.decode(encoded)).toEqual(event);
    use(first);
    expect(customer.decode(current).value).toMatchObject({ displayName: '[sealed]', country: 'GB' });
    use(undefined);
    expect(customer.decode(old).value).toMatchObject({ email: '[sealed]' });
  });

  test('that are invalid end the start, and are not shown', () => {
    const secret = key();
    let error: unknown;
    try {
      use(`2026:${secret},2026:${secret}`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain('given twice');
    expect((error as Error).message).not.toContain(secret);
  });
});
