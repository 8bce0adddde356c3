/** What the pages give to other programs: SQL to PostgreSQL, values to Helm, rules to Prometheus. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cli } from '@caudal/cli/testing/run-cli.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { describeWithTools, laidOver, presets, render, type Values } from '../cluster/chart.ts';
import { type Block, blocksOf, noteOf, pages, placeOf, root } from './pages.ts';

const named = (language: string) =>
  pages().flatMap((page) => blocksOf(page, language).map((block) => [placeOf(block), block] as const));
const yaml = named('yaml').map(([place, block]) => [place, block, parse(block.code) as Values] as const);
const rules = yaml.filter(([, , content]) => 'groups' in content);
const values = yaml.filter(([, , content]) => !('groups' in content));

describeWith(['postgres'], 'SQL', () => {
  let fresh: FreshDatabase;
  beforeAll(async () => {
    fresh = await freshDatabase();
    const { code, stderr } = await cli({ DATABASE_URL: fresh.url })('migrate');
    if (code !== 0) throw new Error(stderr);
  }, 60_000);
  afterAll(() => fresh.drop());

  test.each(named('sql'))('of %s runs on migrated schemas', async (_, { code }) => {
    const database = openDatabase({ url: fresh.url, schema: 'public' });
    try {
      expect(await database.query({ text: code })).toEqual([]);
    } finally {
      await database.close();
    }
  });
});

test.each(rules)('rules of %s are those of the chart', (_, __, content) => {
  const expressions = (of: Values): [string, string][] =>
    (of.groups as { rules: { alert: string; expr: string }[] }[]).flatMap((group) =>
      group.rules.map(({ alert, expr }): [string, string] => [
        alert,
        // What the chart fills in: which processes are meant.
        expr
          .replaceAll(/\{SELECTOR\}|SELECTOR, ?/g, '')
          .replaceAll(/\s+/g, ' ')
          .trim(),
      ]),
    );
  const chart = parse(readFileSync(join(root, 'charts/caudal/files/alerts.yaml'), 'utf8')) as Values;
  const known = new Map(expressions(chart));
  for (const [alert, expr] of expressions(content)) expect([alert, expr]).toEqual([alert, known.get(alert)]);
});

test('every block of values says which preset it is laid over', () => {
  const unsaid = values.filter(([, block]) => !(presetOf(block) in presets));
  expect(unsaid.map(([place]) => place)).toEqual([]);
});

describeWithTools(['helm'], 'values', ({ helm }) => {
  test.each(values)('of %s are taken by the chart', async (_, block, content) => {
    const { manifests } = await render(helm!, laidOver(presets[presetOf(block)]!, content));
    expect(manifests.length).toBeGreaterThan(0);
  });
});

/** From `<!-- values: small -->`. */
function presetOf(block: Block): string {
  return noteOf(block, 'values') ?? '';
}
