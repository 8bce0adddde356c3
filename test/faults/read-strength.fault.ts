/** What each read strength promises, on a real streaming replica of PostgreSQL that is behind: docs/read-strength.md */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openPostgresStore } from '@caudal/projections/stores/postgres-store.ts';
import type { Layout, Write } from '@caudal/projections/stores/store.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { borrow, type Kit } from '../../scripts/kit.ts';
import { until } from '../e2e/wait.ts';
import { describeNeeding } from './describe-needing.ts';

const layout: Layout = { keys: {}, indexes: [] };
const write = (revision: number): Write => ({
  ...{ id: 'a', revision, streams: { s: revision }, keys: {}, view: { revision } },
});

async function ask(url: string, text: string): Promise<string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text, rowMode: 'array' })).rows.map(([value]) => String(value));
  } finally {
    await client.end();
  }
}

describeNeeding({ servers: ['postgres'] }, 'reads of views with a replica that is behind', () => {
  let kit: Kit | undefined;
  const closing: (() => Promise<unknown>)[] = [];
  const shared = process.env.POSTGRES_URL;
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    await kit?.giveBack();
    process.env.POSTGRES_URL = shared;
  }, 60_000);

  test('ONE may be old, the others not; QUORUM waits for the standby, and fails without it', async () => {
    kit = await borrow(['postgres', 'postgres-replica']);
    // jest gives each file an environment of its own.
    Object.assign(process.env, { POSTGRES_URL: kit.variables.POSTGRES_URL });
    const [primary, standby] = [kit.variables.POSTGRES_URL!, kit.variables.POSTGRES_REPLICA_URL!];
    const fresh = await freshDatabase();
    closing.push(() => fresh.drop());
    await migrate({ url: fresh.url, schema: 'views', sets: [] });
    const url = new URL(fresh.url);
    url.port = new URL(standby).port;
    const database = openDatabase({ url: fresh.url, schema: 'views', derived: true });
    const replica = openDatabase({ url: url.href, schema: 'views' });
    closing.push(
      () => database.close(),
      () => replica.close(),
    );
    const store = openPostgresStore({ database, replica });
    const views = store.collection('things', layout);
    await views.create();
    await views.save([write(1)]);
    const there = () => replica.query<{ n: number }>({ text: 'SELECT count(*)::int AS n FROM things' });
    await until(
      'the replica has the view',
      () => there().catch(() => []),
      ([row]) => row?.n === 1,
    );

    await ask(standby, 'SELECT pg_wal_replay_pause()');
    await views.save([write(2)]);
    expect(await views.loadNearest!(['a'])).toMatchObject([{ revision: 1 }]);
    expect(await views.load(['a'])).toMatchObject([{ revision: 2 }]);
    // It need not wait for what the standby shows, only for what it has on disk.
    await ask(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'");
    await ask(primary, 'SELECT pg_reload_conf()');
    await until(
      'the standby is synchronous',
      () => ask(primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"),
      ([n]) => n === '1',
    );
    await store.confirm!();
    await ask(standby, 'SELECT pg_wal_replay_resume()');
    await until(
      'the replica shows it',
      () => views.loadNearest!(['a']),
      ([view]) => view?.revision === 2,
    );

    // A standby that is away: what it lacks is not confirmed, and is said within the bound.
    const [sender] = (await ask(primary, 'SELECT pid FROM pg_stat_replication')).map(Number);
    process.kill(sender!, 'SIGSTOP');
    try {
      await views.save([write(3)]);
      const begun = performance.now();
      await expect(store.confirm!()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(performance.now() - begun).toBeLessThan(10_000);
      expect(await views.loadNearest!(['a'])).toMatchObject([{ revision: 2 }]);
      expect(await views.load(['a'])).toMatchObject([{ revision: 3 }]);
    } finally {
      process.kill(sender!, 'SIGCONT');
    }
    await until(
      'it is confirmed when the standby is back',
      () =>
        store.confirm!().then(
          () => true,
          () => false,
        ),
      (confirmed) => confirmed,
    );

    // Without the replica the nearest copy is the primary.
    await replica.close();
    expect(await views.loadNearest!(['a'])).toMatchObject([{ revision: 3 }]);
  }, 180_000);
});
