/**
 * The list of all packages that are shipped, as CycloneDX (`npm run sbom`), from package-lock.json. It is written to standard
 * output or to the file that is named. npm makes it; its names of this project's own packages, and its time, are left out, so
 * that the same lock file gives the same list.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Bom {
  bomFormat: string;
  serialNumber?: string;
  metadata: { timestamp?: string };
  components: { name: string; version: string; purl: string; hashes?: object[]; licenses?: object[] }[];
}

const root = fileURLToPath(new URL('../', import.meta.url));

/** What the image has: no packages for development, and no embedded PostgreSQL. */
export function sbom(): Bom {
  const args = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only', '--omit=dev', '--omit=optional'];
  const bom = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 27 })) as Bom;
  delete bom.serialNumber;
  delete bom.metadata.timestamp;
  return bom;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = `${JSON.stringify(sbom(), null, 2)}\n`;
  const [, , file] = process.argv;
  if (file) writeFileSync(file, text);
  else process.stdout.write(text);
}
