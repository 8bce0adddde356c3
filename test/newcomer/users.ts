/** Users of this machine that tests make and remove. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { User } from './npm.ts';

const prefix = 'caudal-test-';

/** A user without a home; undefined if this process can't make one. */
export function makeUser(): (User & { remove(): void }) | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  // Removes users that a killed run has left.
  for (const { name, run } of ours()) if (!isRunning(run)) remove(name);
  const name = `${prefix}${process.pid}`;
  spawnSync('useradd', ['--no-create-home', '--home-dir', '/nonexistent', '--shell', '/bin/sh', name]);
  const made = ours().find((user) => user.name === name);
  return made && { uid: made.uid, gid: made.gid, remove: () => remove(name) };
}

function ours() {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([name]) => name?.startsWith(prefix))
    .map(([name, , uid, gid]) => ({
      name: name!,
      run: Number(name!.slice(prefix.length)),
      uid: Number(uid),
      gid: Number(gid),
    }));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const remove = (name: string) => void spawnSync('userdel', [name]);
