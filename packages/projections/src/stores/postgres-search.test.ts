/** What pg_trgm adds to the search in PostgreSQL, wherever it is installed. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openPostgresStore } from './postgres-store.ts';
import type { Layout, Write } from './store.ts';

const layout: Layout = {
  keys: { title: { type: 'text', many: false }, body: { type: 'text', many: false } },
  indexes: [],
};

describeWith(['postgres'], 'searching with pg_trgm', () => {
  let fresh: FreshDatabase;
  let database: ReturnType<typeof openDatabase>;
  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [] });
    database = openDatabase({ url: fresh.url, schema: 'views' });
    await database.query({ text: 'CREATE SCHEMA elsewhere' });
    await database.query({ text: 'CREATE EXTENSION pg_trgm SCHEMA elsewhere' });
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });

  test('similar words are found, after equal ones', async () => {
    const collection = openPostgresStore({ database }).collection('things.v1.1', layout);
    await collection.create();
    const write = (id: string, title: string, body = ''): Write => ({
      id,
      revision: 1,
      streams: {},
      keys: { title, body },
      view: {},
    });
    await collection.save([
      write('a', 'hanging lanterns'),
      write('b', 'hanging lantern'),
      write('c', 'candle holder', 'for a lantern'),
      write('d', 'wicker heart'),
    ]);
    const search = async (text: string, fields: Record<string, number> = { title: 3, body: 1 }) => {
      const { hits, total } = await collection.search!({ text, fields, where: [], facets: [], limit: 9 });
      expect(total).toBe(hits.length);
      return hits.map(({ document }) => document.id);
    };
    expect(await search('lanterm')).toEqual(expect.arrayContaining(['b', 'c']));
    expect(await search('hangng lantern')).toEqual(['b', 'a']);
    expect(await search('lanterm', { title: 1 })).not.toContain('c');
    expect(await search('wickers')).toEqual(['d']);
    expect(await search('unicorn')).toEqual([]);
  });
});
