/** Every query of every context is served by an index, and every index serves a query, for all forms of requests. */
import { loadConfig, type Settings } from '@caudal/config/config.ts';
import type { QueryTools, Tools } from '@caudal/context/context.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import type { Projection, Query, SearchQuery } from '@caudal/projections/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { contexts } from './contexts.ts';
import { settings } from './settings/settings.ts';
import { type Asked, indexFor } from './testing/index-use.ts';
import { requestsOf } from './testing/requests.ts';

const nothing = {} as never;
const tools: Omit<QueryTools<Settings>, 'views' | 'search' | 'interest'> = {
  aggregates: nothing,
  clock: () => new Date(0),
  ids: () => 'id',
  settings: loadConfig(settings, { env: {} }) as Tools<Settings>['settings'],
  client: () => nothing,
  openTexts: async (texts) => texts.map(({ text }) => text),
  tables: nothing,
  sealed: nothing,
  database: nothing,
  archive: undefined,
};

/** The queries that the context sends to each projection, over all forms of requests. */
async function askedOf(context: (typeof contexts)[number]): Promise<Map<string, Asked[]>> {
  const asked = new Map<string, Asked[]>(context.projections.map(({ projection }) => [projection.name, []]));
  const reader = (projection: Projection<unknown>) => {
    const views = fixedViews<unknown>({ some: {} });
    const note = (query: Query | SearchQuery) => void asked.get(projection.name)!.push(query);
    return {
      ...views,
      async find(query: Query) {
        note(query);
        return views.find(query);
      },
      async search(query: SearchQuery) {
        note(query);
        return views.search(query);
      },
    };
  };
  const interest = () => ({ saw() {}, of: async () => 0 });
  const services = context.queries({ ...tools, views: reader as never, search: reader as never, interest });
  for (const { definition, handlers } of services) {
    for (const [name, { path }] of Object.entries(definition)) {
      for (const request of requestsOf(contract().method(path))) {
        // Some combinations are refused, which sends no query; and the views that are found are empty.
        await handlers[name]!(request as never, testCall()).catch(() => {});
      }
    }
  }
  return asked;
}

const withIndexes = contexts.flatMap((context) =>
  context.projections.map(({ projection, store }) => ({ name: projection.name, context, projection, store })),
);

describe.each(withIndexes)('$name', ({ name, context, projection, store }) => {
  test('has an index for every query', async () => {
    const asked = (await askedOf(context)).get(name)!;
    expect(asked).not.toEqual([]);
    // A search without conditions uses the full-text index; a list by id without conditions uses that of the ids.
    const bare = asked.filter(
      (query) => indexFor(projection.indexes, query) === undefined && (query.where?.length || query.orderBy?.length),
    );
    expect(store === 'search' ? [] : bare).toEqual([]);
  });

  test('has no unused index', async () => {
    const asked = (await askedOf(context)).get(name)!;
    const used = new Set(asked.map((query) => indexFor(projection.indexes, query)));
    expect(projection.indexes.filter((index) => !used.has(index))).toEqual([]);
  });
});

describe('an index', () => {
  const indexes = [['customer', 'time'], ['time'], ['status', 'time']];
  const by = (key: string) => ({ key, equals: 'x' });
  const newest = [{ key: 'time', descending: true }];

  test.each([
    [['customer', 'time'], { where: [by('customer')], orderBy: newest }],
    [['time'], { orderBy: newest }],
    [['time'], { where: [{ key: 'time', atLeast: 1 }], orderBy: newest }],
    [undefined, { where: [by('order')] }],
    [['time'], { where: [by('order')], orderBy: newest }],
    [undefined, {}],
  ] as [string[] | undefined, Asked][])('%p serves %j', (index, asked) => {
    expect(indexFor(indexes, asked)).toEqual(index);
  });
});
