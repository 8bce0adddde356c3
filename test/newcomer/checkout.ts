/** A checkout of this project in another folder, with the packages that are installed here. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../e2e/part.ts';

const notCopied = new Set(['.git', '.caudal', 'coverage']);

/**
 * Makes it by hard links where the file system allows: neither its files nor their owner may be changed. Every user may
 * read all of it, if the folders above allow.
 */
export function makeCheckout(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const names = readdirSync(root).filter((name) => !notCopied.has(name));
  const copy = (...options: string[]) =>
    spawnSync('cp', [...options, ...names.map((name) => join(root, name)), folder], { stdio: 'ignore' }).status === 0;
  const readable = ['package.json', 'node_modules/node/bin/node'].every((file) => statSync(join(root, file)).mode & 4);
  if (readable && copy('-al')) return;
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  if (!copy('-a')) throw new Error(`The checkout could not be copied to ${folder}.`);
  spawnSync('chmod', ['-R', 'a+rX', folder]);
}
