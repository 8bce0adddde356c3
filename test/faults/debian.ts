/** Programs that tests need and a machine may lack. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const installMs = 300_000;

/**
 * What `find` finds. If that is nothing, and this process is root on Debian, the package is installed first. undefined if
 * it can't be.
 */
export function fromDebian<T>(name: string, find: () => T | undefined): T | undefined {
  const found = find();
  if (found !== undefined || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return found;
  const apt = (...args: string[]) =>
    execFileSync('apt-get', ['-qy', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: 'ignore',
      timeout: installMs,
    });
  try {
    apt('update');
    apt('install', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', name);
  } catch (error) {
    console.warn(`${name} can't be installed: ${(error as Error).message}`);
  }
  return find();
}
