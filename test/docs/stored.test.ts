/** The list of what is stored names every projection, and tests that exist. test/e2e/stored.test.ts has the rest. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { contexts } from '@caudal/server/contexts.ts';
import { expect, test } from '@jest/globals';
import { auditTables, besideViews, contextTables, keys, tables, views } from '../../scripts/reference/stored.ts';
import { root } from './pages.ts';

test('every projection is in the list of what is stored, and no other', () => {
  const names = contexts.flatMap(({ projections }) => projections.map(({ projection }) => projection.name));
  expect(Object.keys(views).sort()).toEqual(names.sort());
});

test('rows that end have a test that shows it', () => {
  for (const { name, kind, shown } of [
    ...tables,
    ...Object.values(contextTables).flat(),
    ...auditTables,
    ...besideViews,
    ...keys,
  ]) {
    if (kind === 'rows end') expect([name, shown]).toEqual([name, expect.anything()]);
    if (!shown) continue;
    const file = join(root, shown.file);
    expect([shown.file, existsSync(file)]).toEqual([shown.file, true]);
    expect([name, readFileSync(file, 'utf8').includes(shown.test)]).toEqual([name, true]);
  }
});
