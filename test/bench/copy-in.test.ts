import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { copyIn } from './copy-in.ts';

describeWith(['postgres'], 'copyIn', () => {
  let fresh: FreshDatabase;
  let client: Client;
  beforeAll(async () => {
    fresh = await freshDatabase();
    client = new Client({ connectionString: fresh.url });
    await client.connect();
    await client.query('CREATE TABLE t (id int PRIMARY KEY, body bytea)');
  });
  afterAll(async () => {
    await client?.end();
    await fresh?.drop();
  });

  test('writes all rows of all chunks, and the connection can be used again', async () => {
    await copyIn(client, 'COPY t FROM STDIN', [Buffer.from('1\t\\\\x00ff\n2\t'), Buffer.from('\\\\x0a\n')]);
    const { rows } = await client.query('SELECT id, body FROM t ORDER BY id');
    expect(rows).toEqual([
      { id: 1, body: Buffer.of(0, 255) },
      { id: 2, body: Buffer.of(10) },
    ]);
  });

  test('rejects what the server refuses, and writes nothing of it', async () => {
    const copying = copyIn(client, 'COPY t FROM STDIN', [Buffer.from('7\t\\\\x00\n1\t\\\\x00\n')]);
    await expect(copying).rejects.toThrow('duplicate key');
    await expect(copyIn(client, 'COPY nowhere FROM STDIN', [])).rejects.toThrow('nowhere');
    expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 2 }]);
  });

  test('rejects what fails while the rows are made', async () => {
    function* broken(): Generator<Buffer> {
      yield Buffer.from('8\t\\\\x00\n');
      throw new Error('no more rows');
    }
    await expect(copyIn(client, 'COPY t FROM STDIN', broken())).rejects.toThrow('no more rows');
    expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 2 }]);
  });
});
