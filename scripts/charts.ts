/**
 * Writes what the chart and Kong must know of the code: charts/caudal/files, values.schema.json and README.md, and
 * k8s/kong/kong.yml. `--check` writes nothing and fails if what is committed differs.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { dashboards } from './charts/dashboards.ts';
import { kongConfiguration } from './charts/kong.ts';
import { chartReadme } from './charts/readme.ts';
import { valuesSchema } from './charts/schema.ts';
import { formerNames, topology } from './charts/topology.ts';
import { valueKeys } from './charts/values.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log('Usage: node scripts/charts.ts [--check]\n\nWrites what the chart and Kong must know of the code.');
  console.log('--check: write nothing, and fail if the committed files differ.');
  process.exit(0);
}

const root = fileURLToPath(new URL('../', import.meta.url));
const made = (mark: string) => `${mark}Written by "node scripts/charts.ts" from the code: change that instead.`;
const differing: string[] = [];

function put(path: string, text: string): void {
  const file = join(root, path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  differing.push(path);
  if (values.check) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** As the formatter wants it, so that it has nothing to say of what is generated. */
function putJson(path: string, value: unknown): void {
  const biome = join(root, 'node_modules/.bin/biome');
  const input = JSON.stringify(value);
  put(path, execFileSync(biome, ['format', `--stdin-file-path=${path}`], { input, encoding: 'utf8', cwd: root }));
}

const keys = valueKeys(readFileSync(join(root, 'charts/caudal/values.yaml'), 'utf8'));
put('charts/caudal/files/topology.yaml', `${made('# ')}\n${stringify({ formerNames, contexts: await topology() })}`);
putJson('charts/caudal/values.schema.json', valuesSchema(keys));
put('charts/caudal/README.md', `${made('<!-- ')} -->\n${chartReadme(keys)}`);
for (const [name, dashboard] of Object.entries(dashboards))
  putJson(`charts/caudal/files/dashboards/${name}.json`, dashboard);
// Rendered from the chart itself, so it comes last.
put('k8s/kong/kong.yml', `${made('# ')}\n${await kongConfiguration()}`);

if (values.check) {
  for (const path of differing) console.error(`${path} is not what the code says.`);
  if (differing.length > 0) {
    console.error('Run "node scripts/charts.ts" and commit what it writes.');
    process.exitCode = 1;
  }
} else console.log(differing.length > 0 ? `Written: ${differing.join(', ')}` : 'Nothing to change.');
