import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Database, openDatabase } from './database.ts';
import { listen } from './listen.ts';

describeWith(['postgres'], 'listen', () => {
  let fresh: FreshDatabase;
  let db: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    db = openDatabase({ url: fresh.url, schema: 'public', applicationName: 'teller' });
  });
  afterAll(async () => {
    await db.close();
    await fresh.drop();
  });

  /** Listens, and counts what it is called for. */
  function receiver(channel: string) {
    let calls = 0;
    const waiters = new Set<() => void>();
    const running = listen({
      url: fresh.url,
      channel,
      onNotification() {
        calls++;
        for (const wake of waiters) wake();
      },
    });
    return {
      stop: () => running.stop(),
      calls: () => calls,
      next: () =>
        new Promise<void>((resolve) => {
          const wake = () => {
            waiters.delete(wake);
            resolve();
          };
          waiters.add(wake);
        }),
    };
  }
  const tell = (channel: string) => db.query({ text: 'SELECT pg_notify($1, $2)', values: [channel, ''] });
  const listeners = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'caudal-listen'";
  const sessions = async () => (await db.query({ text: `SELECT pid ${listeners}` })).length;

  test('receives notifications, also after its connection was killed', async () => {
    const one = receiver('one');
    await one.next();
    const heard = one.next();
    await tell('one');
    await heard;
    const begunAgain = one.next();
    expect(await db.query({ text: `SELECT pg_terminate_backend(pid) ${listeners}` })).toHaveLength(1);
    await begunAgain;
    const heardAgain = one.next();
    await tell('one');
    await heardAgain;
    await one.stop();
    await one.stop();
  });

  test('channels share one connection, also one that is added later, and each receives its own', async () => {
    const first = [receiver('a'), receiver('b'), receiver('b')];
    await Promise.all(first.map((each) => each.next()));
    const late = [receiver('c'), receiver('a')];
    await Promise.all(late.map((each) => each.next()));
    expect(await sessions()).toBe(1);
    const all = [...first, ...late];
    const before = all.map((each) => each.calls());
    const heard = [all[1]!.next(), all[2]!.next()];
    await tell('b');
    await Promise.all(heard);
    expect(all.map((each, index) => each.calls() - before[index]!)).toEqual([0, 1, 1, 0, 0]);
    // All are listened to again after the connection was lost.
    const begun = all.map((each) => each.next());
    await db.query({ text: `SELECT pg_terminate_backend(pid) ${listeners}` });
    await Promise.all(begun);
    // One of two receivers of a channel stops: the other one still receives.
    await first[0]!.stop();
    const heardAgain = late[1]!.next();
    await tell('a');
    await heardAgain;
    // A channel without a receiver is no longer listened to, and may have one again.
    await late[0]!.stop();
    const again = receiver('c');
    await again.next();
    const heardThird = again.next();
    await tell('c');
    await heardThird;
    expect(await sessions()).toBe(1);
    await Promise.all([...first, late[1]!, again].map((each) => each.stop()));
    for (let attempt = 0; attempt < 500 && (await sessions()) > 0; attempt++);
    expect(await sessions()).toBe(0);
  });
});
