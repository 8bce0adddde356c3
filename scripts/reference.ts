/**
 * Writes docs/reference: what follows from Caudal's code and its contract. With `--check` it writes nothing, and fails
 * if the committed files differ.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { contract } from '@caudal/contract/descriptors.ts';
import { openApi } from '@caudal/rpc/rest/openapi.ts';
import { errorsPage } from './reference/errors.ts';
import { eventsPage } from './reference/events.ts';
import { metricsPage } from './reference/metrics.ts';
import { permissionsPage } from './reference/permissions.ts';
import { settingsPage } from './reference/settings.ts';
import { storedPage } from './reference/stored.ts';
import { textsPage } from './reference/texts.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log('Usage: npm run reference [-- --check]\n\nWrites docs/reference from the code and the contract.');
  console.log('--check: write nothing, and fail if the committed files differ.');
  process.exit(0);
}

const directory = fileURLToPath(new URL('../docs/reference/', import.meta.url));
const made = '<!-- Written by "npm run reference" from the code: change that instead. -->\n';
const pages: Record<string, string> = {
  'settings.md': made + settingsPage(),
  'errors.md': made + (await errorsPage()),
  'permissions.md': made + permissionsPage(),
  'events.md': made + eventsPage(),
  'metrics.md': made + metricsPage(),
  'stored.md': made + storedPage(),
  'texts.md': made + textsPage(),
  'openapi.json': `${JSON.stringify(openApi(contract().methods()), null, 2)}\n`,
};

mkdirSync(directory, { recursive: true });
const present = readdirSync(directory);
const stale = present.filter((name) => !Object.hasOwn(pages, name));
const changed = Object.keys(pages).filter(
  (name) => !present.includes(name) || readFileSync(join(directory, name), 'utf8') !== pages[name],
);
if (values.check) {
  for (const name of [...changed, ...stale]) console.error(`docs/reference/${name} does not agree with the code.`);
  if (changed.length + stale.length > 0) {
    console.error('Run "npm run reference" and commit what it writes.');
    process.exitCode = 1;
  }
} else {
  for (const name of changed) writeFileSync(join(directory, name), pages[name]!);
  for (const name of stale) rmSync(join(directory, name));
  console.log(
    changed.length + stale.length > 0 ? `Written: ${[...changed, ...stale].join(', ')}` : 'Nothing to change.',
  );
}
