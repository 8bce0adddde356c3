/** Settings, reasons, codes and metrics in the documentation exist in the code. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '@caudal/config/config.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { catalogue } from '../../scripts/reference/catalogue.ts';
import { pages, root } from './pages.ts';

const all = pages();

/** Names of Node and libraries, of the tests, and of the reader's own shell; a strength of reads. */
const others = new Set([
  ...['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_TLS_REJECT_UNAUTHORIZED', 'LOG_LEVEL'],
  ...['CAUDAL_REQUIRE_SERVERS', 'POSTGRES_URL', 'TOKEN', 'CARTS_HISTORIES', 'AT_LEAST'],
]);

test('words in capitals are settings, reasons, codes or values of the contract', async () => {
  const reasons = await catalogue();
  const known = new Set([
    ...others,
    ...Object.entries(settings as Settings).flatMap(([name, { formerly }]) => [name, `${name}_FILE`, formerly]),
    ...reasons.flatMap(({ reason, code }) => [reason, code]),
    ...[...contract().registry].flatMap((type) => (type.kind === 'enum' ? type.values.map(({ name }) => name) : [])),
  ]);
  const unknown = all
    .filter(({ path }) => path === 'README.md' || path.startsWith('docs/'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`/g)]
        .filter(([, name]) => !known.has(name!))
        .map(([, name]) => `${name} in ${path}`),
    );
  expect(unknown).toEqual([]);
});

test('metrics exist in the code', () => {
  const metrics = readFileSync(join(root, 'docs/reference/metrics.md'), 'utf8');
  const looksLikeOne =
    /`([a-z]+(?:_[a-z]+)+_(?:total|seconds|events|waiting|paused|hand|flight|row)|circuit_state)(?:\{[^`]*)?`/g;
  const unknown = all.flatMap(({ path, text }) =>
    [...text.matchAll(looksLikeOne)]
      .filter(([, name]) => !metrics.includes(`| \`${name}\` |`))
      .map(([, name]) => `${name} in ${path}`),
  );
  expect(unknown).toEqual([]);
});
