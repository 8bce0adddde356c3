import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Database, openDatabase } from './database.ts';
import { listen } from './listen.ts';

describeWith(['postgres'], 'listen', () => {
  let db: Database;
  beforeAll(() => {
    db = openDatabase({ url: serverUrl('postgres'), schema: 'public' });
  });
  afterAll(() => db.close());

  test('receives notifications, also after its connection was killed', async () => {
    const name = `listen_test_${process.pid}`;
    let wake = () => {};
    const next = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    const begun = next();
    const running = listen({
      url: db.url,
      schema: 'public',
      channel: name,
      applicationName: name,
      onNotification: () => wake(),
    });
    await begun;
    const heard = next();
    await db.query({ text: 'SELECT pg_notify($1, $2)', values: [name, ''] });
    await heard;
    const begunAgain = next();
    const killed = await db.query({
      text: 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
      values: [name],
    });
    expect(killed).toHaveLength(1);
    await begunAgain;
    const heardAgain = next();
    await db.query({ text: 'SELECT pg_notify($1, $2)', values: [name, ''] });
    await heardAgain;
    await running.stop();
    await running.stop();
  });
});
