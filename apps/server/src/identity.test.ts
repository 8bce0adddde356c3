import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import { afterAll, expect, test } from '@jest/globals';
import { openIdentity } from './identity.ts';
import type { RuntimeValues } from './settings/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'caudal-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('of several writers of a file one wins, and no reader sees it incomplete', async () => {
  const file = join(folder, 'one');
  const seen = new Set<string>();
  let done = false;
  const reading = (async () => {
    while (!done) seen.add(await readFile(file, 'utf8').catch(() => 'none'));
  })();
  const texts = Array.from({ length: 20 }, (_, n) => `${n}`.repeat(10_000));
  const made = await Promise.all(texts.map((text) => createFileAtomic(file, text)));
  done = true;
  await reading;
  expect(made.filter(Boolean)).toHaveLength(1);
  seen.delete('none');
  seen.delete(texts[made.indexOf(true)]!);
  expect([...seen]).toEqual([]);
  expect(readdirSync(folder)).toEqual(['one']);
});

test('processes that make their key at the same moment agree on one key', async () => {
  const directory = join(folder, 'keys');
  const values = { CAUDAL_AUTH: 'jwt', CAUDAL_ISSUER: 'i', CAUDAL_AUDIENCE: 'a' } as unknown as RuntimeValues;
  const identities = await Promise.all(Array.from({ length: 8 }, () => openIdentity(values, directory)));
  const token = (await identities[0]!.sign('alice', ['x'], 60))!;
  for (const { auth } of identities) {
    expect(await (auth as Exclude<typeof auth, 'off'>)(`Bearer ${token}`)).toMatchObject({ subject: 'alice' });
  }
});
