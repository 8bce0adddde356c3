/** docs/reference agrees with the code and the contract. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('the reference is up to date', async () => {
  const checked = await promisify(execFile)(process.execPath, ['scripts/reference.ts', '--check'], { cwd: root }).then(
    () => '',
    ({ stderr }) => stderr,
  );
  expect(checked).toBe('');
});
