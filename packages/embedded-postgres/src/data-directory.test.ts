/** A data directory that can't be made is refused at once, with the setting that changes it. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

const folder = mkdtempSync(join(tmpdir(), 'caudal-directory-'));
afterAll(() => rmSync(folder, { recursive: true }));

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux.each(['/proc/caudal', '/proc/caudal/data'])('%s, where nothing can be made', async (directory) => {
  await expect(startEmbeddedPostgres(directory)).rejects.toThrow(
    `The data directory ${directory} can't be written (ENOENT): set CAUDAL_DATA_DIR to a folder of yours.`,
  );
});

test('a file, or a folder below one', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await expect(startEmbeddedPostgres(file)).rejects.toThrow(`${file} can't be written (EEXIST)`);
  await expect(startEmbeddedPostgres(join(file, 'data'))).rejects.toThrow("can't be written (ENOTDIR)");
  expect(existsSync(join(file, 'data'))).toBe(false);
});
