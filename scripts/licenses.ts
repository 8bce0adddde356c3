/**
 * The licences of all packages in package-lock.json are ones that Caudal may be built with (`npm run licenses`). A package with
 * another one, or with none, fails the build until somebody has read it.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Licences that ask for no more than a notice. */
const allowed = new Set([
  ...['MIT', 'MIT-0', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'Unlicense'],
]);

/** Packages that were read, because the lock file has no such licence for them. None of them is shipped. */
export const read: Record<string, string> = {
  '@event-driven-io/dumbo': 'MIT in its repository; a peer in the benchmarks',
  '@event-driven-io/emmett': 'MIT in its repository; a peer in the benchmarks',
  '@event-driven-io/emmett-postgresql': 'MIT in its repository; a peer in the benchmarks',
  '@event-driven-io/pongo': 'MIT in its repository; a peer in the benchmarks',
  'axe-core': 'MPL-2.0; a test runs it in a browser, as it is',
  buildcheck: 'MIT in an old form ("licenses"); an optional part of ssh2',
  'caniuse-lite': 'CC-BY-4.0: data that the transform of tests reads',
  'cpu-features': 'MIT in an old form ("licenses"); an optional part of ssh2',
  ssh2: 'MIT in an old form ("licenses"); testcontainers has it',
};

export interface Locked {
  version?: string;
  license?: string;
  link?: boolean;
  /** Not needed by what is shipped. */
  dev?: boolean;
}

/** Whether one of the alternatives of an SPDX expression is allowed, with all of its parts. */
function isAllowed(expression: string): boolean {
  const bare = expression.replace(/[()]/g, '');
  return bare.split(' OR ').some((one) => one.split(' AND ').every((part) => allowed.has(part.trim())));
}

/** A line for each package whose licence is not allowed. `packages`: those of a lock file, by their folders. */
export function refused(packages: Record<string, Locked>): string[] {
  return Object.entries(packages).flatMap(([folder, { version, license, link, dev }]) => {
    const name = folder.split('node_modules/').at(-1)!;
    if (link || !folder.includes('node_modules/') || isAllowed(license ?? '')) return [];
    if (dev && Object.hasOwn(read, name)) return [];
    return [`${name} ${version}: ${license ?? 'no licence'}${dev ? '' : ', and it is shipped'}`];
  });
}

/** The packages of package-lock.json. */
export function locked(): Record<string, Locked> {
  const file = fileURLToPath(new URL('../package-lock.json', import.meta.url));
  return (JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, Locked> }).packages;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lines = refused(locked());
  for (const line of lines) console.error(line);
  if (lines.length > 0) {
    console.error('Read these licences. Then add them to scripts/licenses.ts, or use other packages.');
    process.exitCode = 1;
  } else console.log(`${Object.keys(locked()).length} packages, all with allowed licences.`);
}
