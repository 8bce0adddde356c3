/** docs/renames.md lists exactly the deprecated names that the code still accepts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '@caudal/config/config.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { instruments } from '../../scripts/reference/metrics.ts';
import { root } from './pages.ts';

const page = readFileSync(join(root, 'docs/renames.md'), 'utf8');

/** The cells of the table below a heading, row by row, without its head and without backticks. */
function rowsBelow(heading: string): string[][] {
  const section = page.split(`\n### ${heading}\n`)[1]?.split(/\n##/)[0];
  if (section === undefined) throw new Error(`docs/renames.md has no section "${heading}"`);
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll('`', '')));
}

const all = Object.entries(settings as Settings);

test('settings', () => {
  const former = all.flatMap(([name, { formerly }]) => (formerly === undefined ? [] : [[formerly, name]]));
  expect(former.length).toBeGreaterThan(0);
  expect(rowsBelow('Settings').sort()).toEqual(former.sort());
  const reference = readFileSync(join(root, 'docs/reference/settings.md'), 'utf8');
  for (const [before, now] of former)
    expect(reference).toMatch(new RegExp(`^\\| \`${now}\` \\|.* Deprecated name: \`${before}\`\\. \\|$`, 'm'));
});

test('words in values of settings', () => {
  const former = all.flatMap(([name, { formerWords }]) =>
    Object.entries(formerWords).map(([before, now]) => [name, before, now]),
  );
  expect(former.length).toBeGreaterThan(0);
  expect(rowsBelow('Words in values of settings').sort()).toEqual(former.sort());
});

test('metrics', () => {
  const former = instruments().flatMap(({ name, formerName }) =>
    formerName === undefined ? [] : [[formerName, name]],
  );
  expect(former.length).toBeGreaterThan(0);
  expect(rowsBelow('Metrics').sort()).toEqual(former.sort());
});

test('labels of metrics', () => {
  const former = instruments().flatMap(({ name, formerLabels }) =>
    Object.entries(formerLabels).map(([now, before]) => [name, before, now]),
  );
  expect(former.length).toBeGreaterThan(0);
  expect(rowsBelow('Labels of metrics').sort()).toEqual(former.sort());
});

test('workloads of the presets', () => {
  const presets = join(root, 'charts/caudal/presets');
  // As in charts/caudal/templates/_workloads.tpl (caudal.formerWorkloads), which test/cluster/renames.test.ts renders.
  const former = readdirSync(presets).flatMap((file) =>
    Object.keys(parse(readFileSync(join(presets, file), 'utf8')))
      .filter((name) => name.startsWith('saga'))
      .map((name) => [`a workload of the preset ${file.replace('.yaml', '')}`, name.replace('saga', 'process'), name]),
  );
  expect(former.length).toBeGreaterThan(0);
  expect(
    rowsBelow('The chart')
      .filter(([what]) => what!.startsWith('a workload of the preset'))
      .sort(),
  ).toEqual(former.sort());
});

test('deprecated names are removed in the version that the warnings name', () => {
  const source = readFileSync(join(root, 'packages/config/src/config.ts'), 'utf8');
  const [, removedIn] = /const removedIn = '([\d.]+)'/.exec(source)!;
  expect(page).toContain(`The old names go in ${removedIn}.`);
});
