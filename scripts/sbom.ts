/**
 * The list of all packages that are shipped, as CycloneDX 1.6 (`npm run sbom`, and the build of the image), from
 * package-lock.json: to standard output, or to the file that is named. The same lock file gives the same list.
 *
 * Not `npm sbom --omit=dev`: npm 11 leaves out what the root needs for development and a workspace for production (107
 * packages here, grpc-js and mongodb among them).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Package {
  name?: string;
  version?: string;
  license?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  optional?: boolean;
  devOptional?: boolean;
}

export interface Component {
  type: 'library';
  'bom-ref': string;
  name: string;
  version: string;
  purl: string;
  licenses: ({ license: { id: string } } | { expression: string })[];
  hashes: { alg: string; content: string }[];
}

const root = fileURLToPath(new URL('../', import.meta.url));

/** `@scope/name` becomes `%40scope/name` in a package URL. */
const purlOf = (name: string, version: string) => `pkg:npm/${name.replace('@', '%40')}@${version}`;

const licensesOf = (license: string): Component['licenses'] =>
  / (AND|OR|WITH) /.test(license) ? [{ expression: license }] : [{ license: { id: license } }];

/** `sha512-...` in base64 becomes the algorithm's name and hexadecimal digits. */
function hashOf(integrity: string): Component['hashes'][number] {
  const [, bits, content = ''] = /^sha(\d+)-(.*)$/.exec(integrity) ?? [];
  return { alg: `SHA-${bits}`, content: Buffer.from(content, 'base64').toString('hex') };
}

/** What the image has: no packages for development, and no embedded PostgreSQL. */
export function sbom(): { bomFormat: string; components: Component[] } & Record<string, unknown> {
  const { packages } = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')) as {
    packages: Record<string, Package>;
  };
  const own = packages['']!;
  const components = new Map<string, Component>();
  for (const [folder, { version = '', license, integrity, ...of }] of Object.entries(packages)) {
    if (!folder.includes('node_modules/') || of.link || of.dev || of.optional || of.devOptional) continue;
    const name = of.name ?? folder.split('node_modules/').at(-1)!;
    const purl = purlOf(name, version);
    components.set(purl, {
      ...{ type: 'library', 'bom-ref': purl, name, version, purl },
      licenses: license ? licensesOf(license) : [],
      hashes: integrity ? [hashOf(integrity)] : [],
    });
  }
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        ...{ type: 'application', 'bom-ref': purlOf('caudal', own.version!), name: 'caudal', version: own.version },
        purl: purlOf('caudal', own.version!),
        licenses: licensesOf(own.license!),
      },
    },
    components: [...components.values()].sort((one, other) => (one.purl < other.purl ? -1 : 1)),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = `${JSON.stringify(sbom(), null, 2)}\n`;
  const [, , file] = process.argv;
  if (file) writeFileSync(file, text);
  else process.stdout.write(text);
}
