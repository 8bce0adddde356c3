/** Writes that too few servers have: they are never taken for done. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type BulkWriteResult, MongoBulkWriteError } from 'mongodb';
import { type TestStore, testStores } from '../testing/stores.ts';
import { openElasticsearchStore } from './elasticsearch-store.ts';
import { judgeError, resultOf } from './mongodb-results.ts';
import { openMongodbStore } from './mongodb-store.ts';
import type { Layout, ViewStore, Write } from './store.ts';

const layout: Layout = { keys: {}, indexes: [] };
const write = (id: string, revision = 1): Write => ({ id, revision, streams: { s: revision }, keys: {}, view: { id } });
const unavailable = { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' };

describeWith(['mongodb'], 'the write concern of MongoDB', () => {
  let place: TestStore;
  /** Asks for two members, of a replica set of one. */
  let strict: ViewStore;
  let database: string;
  beforeAll(async () => {
    place = await testStores.mongodb();
    database = `test_concern_${process.pid}_${Date.now()}`;
    strict = openMongodbStore({ url: serverUrl('mongodb'), database, writeConcern: { w: 2, journal: true } });
  });
  afterAll(async () => {
    await place.remove();
    const { MongoClient } = await import('mongodb');
    const client = new MongoClient(serverUrl('mongodb'));
    await client.db(database).dropDatabase();
    await strict.close();
    await client.close();
  });

  test('a write that reached too few members is not done, and is safe to repeat', async () => {
    const collection = strict.collection('things', layout);
    await expect(collection.save([write('1')])).rejects.toMatchObject({
      ...unavailable,
      cause: { message: expect.stringMatching(/write concern is not met.*CAUDAL_MONGODB_WRITE_CONCERN/) },
    });
    const safe = openMongodbStore({ url: serverUrl('mongodb'), database });
    // The primary has it nevertheless: the repeat loses the race, reads, and finds that it is there.
    expect(await safe.collection('things', layout).save([write('1'), write('2')])).toEqual({
      lost: ['1'],
      refused: [],
    });
    await safe.close();
  });

  test('a lost race beside it does not hide it', async () => {
    const collection = strict.collection('raced', layout);
    await expect(collection.save([write('1')])).rejects.toMatchObject(unavailable);
    await expect(collection.save([write('1'), write('2'), write('3', 2)])).rejects.toMatchObject(unavailable);
  });

  test('nor is a collection that reached too few members made, or dropped', async () => {
    const collection = strict.collection('made', { keys: { a: { type: 'long', many: false } }, indexes: [['a']] });
    await expect(collection.create()).rejects.toMatchObject(unavailable);
    await expect(collection.create()).rejects.toMatchObject(unavailable);
    await expect(collection.drop()).rejects.toMatchObject(unavailable);
  });
});

// These cases a server of one member can't make: they are tested on what the driver returns.
describe("the driver's results of bulk writes", () => {
  const result = (concern?: string) =>
    ({ getWriteConcernError: () => concern && { errmsg: concern, code: 64 } }) as unknown as BulkWriteResult;

  test('a failed write concern in a result that was not thrown is an error', () => {
    expect(resultOf(result())).toEqual({ lost: [], refused: [] });
    expect(() => resultOf(result('waiting for replication timed out'))).toThrow(expect.objectContaining(unavailable));
  });

  test('one beside errors of documents makes none of them a result', () => {
    const writeErrors = [{ index: 0, code: 11000 }] as never;
    const error = (concern?: string) =>
      new MongoBulkWriteError({ message: 'some failed', code: 11000, writeErrors }, result(concern));
    expect(judgeError(error(), [write('1')])).toEqual({ lost: ['1'], refused: [] });
    expect(() => judgeError(error('timed out'), [write('1')])).toThrow(expect.objectContaining(unavailable));
  });
});

describeWith(['elasticsearch'], 'the active shards of Elasticsearch', () => {
  test('a write that finds too few copies is not done, and is there later', async () => {
    const place = await testStores.elasticsearch();
    const collection = place.store.collection('things', layout);
    await collection.create();
    const strict = openElasticsearchStore({
      url: serverUrl('elasticsearch'),
      prefix: place.at,
      waitForActiveShards: 2,
    });
    await expect(strict.collection('things', layout).save([write('1')])).rejects.toMatchObject(unavailable);
    expect(await collection.load(['1'])).toEqual([]);
    expect(await collection.save([write('1')])).toEqual({ lost: [], refused: [] });
    await strict.close();
    await place.remove();
  }, 20_000);
});
