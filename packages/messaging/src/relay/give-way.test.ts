/** The relays of several logs, in two processes, on a real RabbitMQ and PostgreSQL. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openMembers } from '../members/members.ts';
import { openRelayShares } from '../members/relay-shares.ts';
import { migrations } from '../migrations.ts';
import { grow } from '../testing/doubles.ts';
import { testBroker } from '../testing/rabbit.ts';
import { startRelay } from './relay.ts';

const domains = ['catalog', 'orders', 'payments'];

describeWith(['postgres', 'rabbitmq'], 'relays in several processes', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  test('share the logs; one that comes gets some, one that goes leaves them at once', async () => {
    const fresh = await freshDatabase();
    cleanups.push(() => fresh.drop());
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    rabbit.owns([], domains);
    const contexts: { domain: string; database: Database; log: EventLog }[] = [];
    for (const domain of domains) {
      await migrate({ url: fresh.url, schema: domain, sets: [postgresMigrations, logMigrations, migrations] });
      const database = openDatabase({ url: fresh.url, schema: domain });
      const log = openEventLog({ database, domain });
      cleanups.push(async () => {
        await log.stop();
        await database.close();
      });
      contexts.push({ domain, database, log });
    }
    const startProcess = (process: string) => {
      const members = new Map(contexts.map(({ domain, database }) => [domain, openMembers({ database, process })]));
      const shares = openRelayShares(members);
      const relays = contexts.map(({ domain, database, log }) =>
        startRelay({ log, database, broker: rabbit.broker, turn: shares.turnAt(domain), holder: process }),
      );
      let stopped = false;
      const stop = async () => {
        if (stopped) return;
        stopped = true;
        shares.stop();
        await Promise.all(relays.map((relay) => relay.stop()));
        await Promise.all([...members.values()].map((of) => of.stop()));
      };
      cleanups.push(stop);
      return stop;
    };
    const holders = async () => {
      const rows = await Promise.all(
        contexts.map(({ database }) =>
          database.query<{ holder: string | null }>({ text: "SELECT holder FROM checkpoints WHERE name = 'relay'" }),
        ),
      );
      return rows.map(([row]) => row?.holder ?? null);
    };
    const isRelayed = async () => {
      for (const { database, log } of contexts) {
        const { head } = await log.readLog(0, { limit: 1 });
        const [row] = await database.query<{ position: number }>({
          text: "SELECT position FROM checkpoints WHERE name = 'relay'",
        });
        if (row?.position !== head) return false;
      }
      return true;
    };
    const growAll = () => Promise.all(contexts.map(({ domain, log }) => grow(log, `${domain}.thing/1`, 3)));

    startProcess('one');
    await growAll();
    await until(isRelayed, 10_000);
    expect(await holders()).toEqual(['one', 'one', 'one']);
    const stopTwo = startProcess('two');
    await until(async () => new Set(await holders()).size === 2 && !(await holders()).includes(null), 15_000);
    await growAll();
    await until(isRelayed, 10_000);
    await stopTwo();
    await until(async () => (await holders()).every((holder) => holder === 'one'), 5_000);
    await growAll();
    await until(isRelayed, 5_000);
  }, 60_000);
});
