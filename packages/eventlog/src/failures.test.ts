import { setTimeout as delay } from 'node:timers/promises';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { selectHolders } from './holder.ts';
import { someAppend, someCommand, summary } from './testing/events.ts';
import { freshLog, holdTurn } from './testing/log.ts';

describeWith(['postgres'], 'an event log with failures', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeEach(async () => {
    fresh = await freshLog();
  });
  afterEach(() => fresh.drop());

  const kill = (application: string) =>
    fresh.database.query({
      text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = $1 AND datname = current_database()`,
      values: [application],
    });

  test('connections that are killed during appends lose none and repeat none', async () => {
    // Commits are slow, so that many kills hit a call in flight, before and during its commit.
    await fresh.database.query({
      text: `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.001); RETURN NULL; END $$`,
    });
    await fresh.database.query({
      text: `CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON stream_months DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle()`,
    });
    const { log } = fresh.open({ applicationName: 'victim', retryForMs: 10_000 });
    const wave = async (n: number) => {
      const repeatable = Array.from({ length: 20 }, (_, i) =>
        log.append(someAppend(`orders.order/${n}-${i}`, 0, [`${n}-${i}`], someCommand())),
      );
      const once = log
        .append(someAppend(`orders.order/${n}-once`, 'any', [`${n}-once`]))
        .catch((error) => error.code as string);
      await delay(Math.random() * 60);
      const killed = await kill('victim');
      return { results: await Promise.all(repeatable), once: await once, killed: killed.length };
    };
    const waves: Awaited<ReturnType<typeof wave>>[] = [];
    for (let n = 0; n < 30; n++) waves.push(await wave(n));

    expect(waves.filter(({ killed }) => killed > 0).length).toBeGreaterThan(5);
    expect(waves.filter(({ once }) => once === 'UNAVAILABLE').length).toBeGreaterThan(0);
    for (const result of waves.flatMap(({ results }) => results)) {
      expect(['appended', 'duplicate']).toContain(result.kind);
      expect(result).toMatchObject({ version: 1 });
    }
    const { events } = await fresh.log.readLog(0);
    expect(events.map(({ position }) => position)).toEqual(events.map((_, index) => index + 1));
    expect(events.every(({ version }) => version === 1)).toBe(true);
    const contents = summary(events).map(([, , content]) => content);
    expect(new Set(contents).size).toBe(contents.length);
    const repeatable = contents.filter((content) => !content.endsWith('once'));
    expect(repeatable).toHaveLength(30 * 20);
    for (const [n, { once }] of waves.entries()) {
      if (once === 'UNAVAILABLE') continue; // it may have landed or not
      expect(once).toMatchObject({ kind: 'appended' });
      expect(contents).toContain(`${n}-once`);
    }
  });

  test('the session that holds the log is reported, waits are bounded, and no append lands late', async () => {
    const { log } = fresh.open({ lockTimeoutMs: 300, retryForMs: 0, applicationName: 'appender' });
    const waiting = fresh.open({ applicationName: 'second-in-line' });
    const holder = fresh.open({ applicationName: 'the-culprit' }).database;
    await holder.transaction(async (tx) => {
      await holdTurn(tx);
      const held = log.append(someAppend('orders.order/held', 0));
      const inLine = waiting.log.append(someAppend('orders.order/in-line', 0));
      let holders = await selectHolders(fresh.database);
      while (holders.length === 0) holders = await selectHolders(fresh.database);
      // A waiting session may be listed too, in the moment between two locks.
      expect(holders).toContainEqual(
        expect.objectContaining({ application: 'the-culprit', state: 'idle in transaction' }),
      );
      await expect(held).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      inLine.catch(() => {});
    });
    await fresh.log.append(someAppend('orders.order/after', 0));
    const streams = (await fresh.log.readLog(0)).events.map(({ stream }) => stream).sort();
    expect(streams).not.toContain('orders.order/held');
    expect(await selectHolders(fresh.database)).toEqual([]);
  });

  test('stop waits for the calls in flight', async () => {
    const { log } = fresh.open();
    const appends = ['a', 'b'].map((name) => log.append(someAppend(`orders.order/${name}`, 0)));
    const reading = log.readLog(2, { waitMs: 20_000 });
    await log.stop();
    expect((await Promise.all(appends)).map(({ kind }) => kind)).toEqual(['appended', 'appended']);
    const stopped = performance.now();
    await reading;
    expect(performance.now() - stopped).toBeLessThan(10_000);
    await expect(log.append(someAppend('orders.order/c', 0))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
