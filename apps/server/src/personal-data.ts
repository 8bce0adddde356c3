/** The keys of personal data of a process. See docs/personal-data.md. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '@caudal/config/config.ts';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import {
  formerTexts,
  type OpenFormer,
  type PersonalDataKey,
  parsePersonalDataKeys,
} from '@caudal/eventlog/personal/cipher.ts';
import { wrappingKeysInUse } from '@caudal/eventlog/personal/person-keys.ts';
import { type KeyWrapping, localWrapping } from '@caudal/eventlog/personal/wrapping.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { RuntimeValues } from './settings/settings.ts';
import { keepsPersonalData } from './settings/start-checks.ts';

/** What a process seals and opens personal texts with. */
export interface PersonalData {
  /** Wraps the keys of persons; undefined: this process has no key. */
  wrapping: KeyWrapping | undefined;
  openFormer: OpenFormer;
  /** Without keys texts are written as they are. */
  writePlain: boolean;
}

/** The settings that it depends on. */
export type PersonalDataValues = Pick<
  RuntimeValues,
  'CAUDAL_PERSONAL_DATA_KEYS' | 'CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA'
>;

/** `keyDirectory`: where a key is made if none is configured (the embedded system); undefined: none is made. */
export async function openPersonalData(
  values: PersonalDataValues,
  keyDirectory: string | undefined,
): Promise<PersonalData> {
  const { CAUDAL_PERSONAL_DATA_KEYS: configured, CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: writePlain } = values;
  const keys = configured ?? (keyDirectory === undefined || writePlain ? undefined : await keptKeys(keyDirectory));
  return { wrapping: keys && localWrapping(keys), openFormer: formerTexts(keys ?? []), writePlain };
}

/** The keys in the data directory, made if they are missing. Two processes that make them at the same moment agree. */
async function keptKeys(directory: string): Promise<[PersonalDataKey, ...PersonalDataKey[]]> {
  const file = join(directory, 'personal-data.key');
  const read = async () => parsePersonalDataKeys((await readFile(file, 'utf8')).trim());
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      const wrong = `the file ${file} can't be used: ${(error as Error).message}`;
      throw new ConfigError([{ name: 'CAUDAL_DATA_DIR', wrong, fix: 'Restore the file, which this directory needs' }]);
    }
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await createFileAtomic(file, `embedded:${randomBytes(32).toString('base64')}\n`);
  return read();
}

/**
 * Throws ConfigError if keys of persons are wrapped with a key that this process lacks: it would read `[sealed]` and write nothing back.
 * UNAVAILABLE.
 */
export async function assertKeysKnown(
  values: Pick<RuntimeValues, 'CAUDAL_ROLES' | 'CAUDAL_CONTEXTS'>,
  locals: { context: { name: string }; database: Transaction; personalData: PersonalData }[],
): Promise<void> {
  const kept = keepsPersonalData(values);
  for (const { context, database, personalData } of locals) {
    if (!kept.includes(context.name)) continue;
    const unknown = (await wrappingKeysInUse(database)).find((by) => !personalData.wrapping?.knows(by));
    if (unknown === undefined) continue;
    const wrong = `it lacks the key "${unknown}", which has wrapped keys of persons in the schema "${context.name}"`;
    const fix = `Add "${unknown}:<key>" behind the first key, until the job person-keys has wrapped all keys anew`;
    throw new ConfigError([{ name: 'CAUDAL_PERSONAL_DATA_KEYS', wrong, fix }]);
  }
}
