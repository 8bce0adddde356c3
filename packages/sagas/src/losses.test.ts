/** Cursors of a saga whose database has outlived the end of a log that it follows: see docs/fail-over.md, Sagas. */
import { presentOf } from '@caudal/eventlog/epochs.ts';
import { someAppend } from '@caudal/eventlog/testing/events.ts';
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { floorCheckpoint, startCheckpoint } from '@caudal/messaging/checkpoints.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { readSeen, writeCursors } from './cursor-store.ts';
import { watchSagaLosses } from './losses.ts';
import { sortOut } from './seen.ts';
import { readEnd, recordStarts } from './start-positions.ts';
import { useDatabase } from './testing/postgres.ts';

describeWith(['postgres'], 'cursors of a log that has lost its end', () => {
  const db = useDatabase();

  /** A handler with cursors that notes what it has handled. */
  function noting(name = 'noting.process') {
    const handled: string[] = [];
    const handler: Pick<EventHandler, 'name' | 'entities' | 'handle'> = {
      name,
      entities: ['orders.order'],
      async handle(events: RecordedEvent[]) {
        const streams = [...new Set(events.map(({ stream }) => stream))];
        const { fresh } = sortOut(events, await readSeen(db.database, handler.name, streams));
        for (const event of [...fresh.values()].flat()) {
          handled.push(Buffer.from(event.data).toString());
          const { stream, version, position } = event;
          await writeCursors(db.database, handler.name, new Map([[stream, { version, position }]]), []);
        }
        return [];
      },
    };
    return { handler, handled };
  }

  test('go back to what the log has kept, and what has come instead is handled', async () => {
    const fresh = await freshLog();
    try {
      const { log } = fresh;
      const { handler, handled } = noting();
      const handleAll = async () => handler.handle((await log.readLog(0)).events);
      await log.append(someAppend('orders.order/kept', 0, ['kept 1']));
      await log.append(someAppend('orders.order/reached', 0, ['reached 1']));
      await log.append(someAppend('orders.order/ahead', 0, ['ahead 1']));
      await log.append(someAppend('orders.order/reached', 1, ['lost 2', 'lost 3']));
      await log.append(someAppend('orders.order/ahead', 1, ['lost too']));
      await handleAll();
      await loseEnd(fresh.database, 3);
      await log.readLog(0);
      await log.append(someAppend('orders.order/reached', 1, ['other 2', 'other 3', 'other 4']));
      await handleAll();
      expect(handled.slice(-2)).toEqual(['lost too', 'other 4']);

      const watching = watchSagaLosses({
        ...{ handler, logs: new Map([['orders', log]]), database: db.database },
        ...{ everyMs: 50, againAfterMs: 100 },
      });
      const { number } = presentOf(log.epochs!());
      await until(async () => (await position(db.database, 'losses:noting.process:orders')) === number);
      await watching.stop();
      expect(handled).toEqual(expect.arrayContaining(['other 2', 'other 3']));
      expect(handled.filter((content) => content === 'kept 1')).toHaveLength(1);
      const streams = ['kept', 'reached', 'ahead'].map((name) => `orders.order/${name}`);
      expect([...(await readSeen(db.database, handler.name, streams)).versions.values()].sort()).toEqual([1, 1, 4]);
      await log.append(someAppend('orders.order/ahead', 1, ['other too']));
      await handleAll();
      expect(handled.at(-1)).toBe('other too');
    } finally {
      await fresh.drop();
    }
  });

  test('go back behind the first of two losses, if no process ran between them', async () => {
    const fresh = await freshLog();
    try {
      const { log } = fresh;
      const { handler, handled } = noting('twice.process');
      await log.append(someAppend('orders.order/kept', 0, ['kept 1']));
      await log.append(someAppend('orders.order/twice', 0, ['twice 1', 'lost 2']));
      await handler.handle((await log.readLog(0)).events);
      await loseEnd(fresh.database, 2);
      await log.readLog(0);
      await log.append(someAppend('orders.order/twice', 1, ['other 2', 'other 3', 'lost 4']));
      await loseEnd(fresh.database, 4);
      await log.readLog(0);
      expect(log.epochs!().map(({ after }) => after)).toEqual([2, 4]);
      const watching = watchSagaLosses({
        ...{ handler, logs: new Map([['orders', log]]), database: db.database },
        ...{ everyMs: 50, againAfterMs: 100 },
      });
      const { number } = presentOf(log.epochs!());
      await until(async () => (await position(db.database, `losses:${handler.name}:orders`)) === number);
      await watching.stop();
      // The second search may handle them once more.
      expect([...new Set(handled)]).toEqual(['kept 1', 'twice 1', 'lost 2', 'other 2', 'other 3']);
    } finally {
      await fresh.drop();
    }
  });

  test('their floor goes back too; a stream of which the log has kept nothing has no cursor any more', async () => {
    const fresh = await freshLog();
    try {
      const { log } = fresh;
      const { handler, handled } = noting('passed.process');
      const handleAll = async () => handler.handle((await log.readLog(0)).events);
      await log.append(someAppend('orders.order/kept', 0, ['kept 1']));
      await log.append(someAppend('orders.order/gone', 0, ['gone 1']));
      await handleAll();
      const floor = floorCheckpoint(handler.name, 'orders');
      const text = 'INSERT INTO checkpoints (name, position) VALUES ($1, 2)';
      await db.database.query({ text, values: [floor] });
      await loseEnd(fresh.database, 1);
      await log.readLog(0);
      await log.append(someAppend('orders.order/new', 0, ['new 1']));
      // The floor has passed the position before.
      await handleAll();
      expect(handled).toEqual(['kept 1', 'gone 1']);
      const watching = watchSagaLosses({
        ...{ handler, logs: new Map([['orders', log]]), database: db.database },
        ...{ everyMs: 50, againAfterMs: 100 },
      });
      const { number } = presentOf(log.epochs!());
      await until(async () => (await position(db.database, `losses:${handler.name}:orders`)) === number);
      await watching.stop();
      expect(await position(db.database, floor)).toBe(1);
      const streams = ['kept', 'gone', 'new'].map((name) => `orders.order/${name}`);
      expect((await readSeen(db.database, handler.name, streams)).versions).toEqual(
        new Map([['orders.order/kept', 1]]),
      );
      await handleAll();
      expect(handled.at(-1)).toBe('new 1');
    } finally {
      await fresh.drop();
    }
  });

  test('of a saga that began after an earlier loss: it stays at its beginning, until a later loss', async () => {
    const fresh = await freshLog();
    try {
      const { log } = fresh;
      const { handler, handled } = noting('late.process');
      const losses = `losses:${handler.name}:orders`;
      const start = () => position(db.database, startCheckpoint(handler.name, 'orders'));
      await log.append(someAppend('orders.order/old', 0, ['old 1']));
      await log.append(someAppend('orders.order/lost', 0, ['lost 1']));
      await loseEnd(fresh.database, 1);
      await log.readLog(0);
      await log.append(someAppend('orders.order/old', 1, ['old 2', 'old 3']));
      const first = presentOf(log.epochs!()).number;

      // Its process has not read the log before.
      const { log: own } = fresh.open();
      await recordStarts({ database: db.database, sagas: [handler], headOf: () => readEnd(own) });
      expect([await start(), await position(db.database, losses)]).toEqual([3, first]);
      const watching = watchSagaLosses({
        ...{ handler, logs: new Map([['orders', own]]), database: db.database },
        ...{ everyMs: 50, againAfterMs: 100 },
      });
      await log.append(someAppend('orders.order/old', 3, ['old 4', 'lost 5']));
      await handler.handle((await own.readLog(0)).events);
      await sleep(500);
      expect(await start()).toBe(3);
      expect(handled).toEqual(['old 4', 'lost 5']);

      // This time what it has passed as its beginning is lost, too.
      await loseEnd(fresh.database, 2);
      await log.readLog(0);
      await log.append(someAppend('orders.order/old', 2, ['other 3']));
      await own.readLog(0);
      await until(async () => (await position(db.database, losses)) > first);
      await watching.stop();
      expect(await start()).toBe(2);
      await handler.handle((await own.readLog(0)).events);
      expect([...new Set(handled)]).toEqual(['old 4', 'lost 5', 'other 3']);
    } finally {
      await fresh.drop();
    }
  });
});
