import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { booleanArray, byteaArray, int4Array, textArray, timestamptzArray, uuidArray } from './arrays.ts';
import { type Database, openDatabase } from './database.ts';

const uuid = '0190a000-0000-7000-8000-00000000002f';

describeWith(['postgres'], 'arrays as parameters', () => {
  let db: Database;
  beforeAll(() => {
    db = openDatabase({ url: serverUrl('postgres'), schema: 'public' });
  });
  afterAll(() => db.close());

  test('arrive unchanged, with nulls and empty values', async () => {
    const rows = await db.query({
      text: 'SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::int4[], $5::bool[]) AS t(b, t, u, i, o)',
      values: [
        byteaArray([Buffer.from([0, 92, 255]), Buffer.alloc(0), null]),
        textArray(['añ"{\\,', '', null]),
        uuidArray([uuid, null, uuid]),
        int4Array([2 ** 31 - 1, null, -1]),
        booleanArray([true, false, true]),
      ],
    });
    expect(rows).toEqual([
      { b: Buffer.from([0, 92, 255]), t: 'añ"{\\,', u: uuid, i: 2 ** 31 - 1, o: true },
      { b: Buffer.alloc(0), t: '', u: null, i: null, o: false },
      { b: null, t: null, u: uuid, i: -1, o: true },
    ]);
    const times = [Number.NEGATIVE_INFINITY, 0, 1_764_370_000_123, -1];
    const [read] = await db.query({
      text: 'SELECT ARRAY(SELECT extract(epoch FROM t)::float8 FROM unnest($1::timestamptz[]) AS t) AS seconds',
      values: [timestamptzArray(times)],
    });
    expect(read).toEqual({ seconds: times.map((ms) => ms / 1_000) });
    const [none] = await db.query({ text: 'SELECT cardinality($1::text[]) AS n', values: [textArray([])] });
    expect(none).toEqual({ n: 0 });
  });
});

describe('uuidArray', () => {
  test.each(['', 'x'.repeat(36), uuid.slice(1), `${uuid}0`])('refuses %p', (value) => {
    expect(() => uuidArray([value])).toThrow(TypeError);
  });
});
