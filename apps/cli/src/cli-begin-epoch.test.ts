/** `caudal log begin-epoch` on a database of its own. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cli } from './testing/run-cli.ts';

describeWith(['postgres'], 'caudal log begin-epoch', () => {
  let fresh: FreshDatabase;
  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterAll(() => fresh.drop());

  test('begins an epoch of one log, at its end; a context that is not there is named', async () => {
    const caudal = cli({ DATABASE_URL: fresh.url, CAUDAL_CONTEXTS: 'shipping', PAYMENTS_GATEWAY: 'sandbox' });
    expect(await caudal('migrate')).toMatchObject({ code: 0 });
    const done = await caudal('log', 'begin-epoch', 'shipping', '--after', '7');
    expect(done).toMatchObject({ code: 0 });
    const database = openDatabase({ url: fresh.url, schema: 'shipping' });
    try {
      const rows = await database.query<{ number: number; after: number }>({
        text: 'SELECT number, after FROM epochs ORDER BY number',
      });
      expect(rows).toEqual([
        { number: 0, after: 0 },
        { number: expect.any(Number), after: 0 },
      ]);
      expect(done.stdout).toContain(`The log of shipping is in epoch ${rows[1]!.number} now.`);
    } finally {
      await database.close();
    }
    const wrong = await caudal('log', 'begin-epoch', 'shiping');
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toContain('Did you mean "shipping"?');
  }, 60_000);
});
