/**
 * Writes the files that the chart and Kong need from the code: charts/caudal/files, values.schema.json and README.md,
 * and k8s/kong/kong.yml. With `--check` it writes nothing, and fails if the committed files differ.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { dashboards } from './charts/dashboards.ts';
import { kongConfiguration, kongHead } from './charts/kong.ts';
import { chartReadme } from './charts/readme.ts';
import { valuesSchema } from './charts/schema.ts';
import { connections, cors, credentials, formerNames, topology } from './charts/topology.ts';
import { valueKeys } from './charts/values.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log(
    'Usage: node scripts/charts.ts [--check]\n\nWrites the files of the chart and of Kong that follow from the code.',
  );
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

/** Formatted, so that the formatter reports nothing about generated files. */
function putJson(path: string, value: unknown): void {
  const biome = join(root, 'node_modules/.bin/biome');
  const input = JSON.stringify(value);
  put(path, execFileSync(biome, ['format', `--stdin-file-path=${path}`], { input, encoding: 'utf8', cwd: root }));
}

const keys = valueKeys(readFileSync(join(root, 'charts/caudal/values.yaml'), 'utf8'));
put(
  'charts/caudal/files/topology.yaml',
  `${made('# ')}\n${stringify({ formerNames, connections, credentials, cors, contexts: await topology() }, { aliasDuplicateObjects: false })}`,
);
putJson('charts/caudal/values.schema.json', valuesSchema(keys));
put('charts/caudal/README.md', `${made('<!-- ')} -->\n${chartReadme(keys)}`);
for (const [name, dashboard] of Object.entries(dashboards))
  putJson(`charts/caudal/files/dashboards/${name}.json`, dashboard);
// Last, because it is rendered from the chart itself.
put('k8s/kong/kong.yml', `${made('# ')}\n${kongHead}${await kongConfiguration()}`);

if (values.check) {
  for (const path of differing) console.error(`${path} does not agree with the code.`);
  if (differing.length > 0) {
    console.error('Run "node scripts/charts.ts" and commit what it writes.');
    process.exitCode = 1;
  }
} else console.log(differing.length > 0 ? `Written: ${differing.join(', ')}` : 'Nothing to change.');
