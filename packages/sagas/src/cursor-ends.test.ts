/** When cursors end, and those of version 0.2. cursor-ends.property.test.ts shows that nothing is then done twice. */
import { order } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { feedCheckpoint, floorCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { type CursorEndOptions, endCursors } from './cursor-ends.ts';
import { readSeen, writeCursors } from './cursor-store.ts';
import { useDatabase } from './testing/postgres.ts';
import { testClock } from './testing/world.ts';

const hour = 3_600_000;

describeWith(['postgres'], 'cursors', () => {
  const db = useDatabase();
  let count = 0;

  /** A log with a clock, and a handler that has seen all of it. */
  function world() {
    const { clock, pass } = testClock();
    const log = memoryLog({ domain: 'orders', clock });
    const logs = new Map([['orders', log.connect()]]);
    const handler = { name: `ended${count++}.process`, entities: ['orders.order'] };
    const { signal } = new AbortController();
    return {
      log,
      pass,
      handler,
      end: (database: CursorEndOptions['database'] = db.database) =>
        endCursors({ database, handler, logs, now: clock(), signal }),
      async append(id: string) {
        const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
        const event = newEvent({
          entity: order,
          event: { $case: 'shipped', value: { customerId: 'c' } },
          origin,
          now: clock(),
        });
        const stream = order.stream(id);
        const appended = await logs.get('orders')!.append({ stream, expected: 'any', events: [event] });
        if (appended.kind !== 'appended') throw new Error(appended.kind);
        return { stream, version: appended.version, position: appended.position };
      },
      see: ({ stream, ...cursor }: { stream: string; version: number; position?: number }) =>
        writeCursors(db.database, handler.name, new Map([[stream, cursor]]), []),
      settledUpTo: (position: number) =>
        db.database.query({
          text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET position = excluded.position`,
          values: [feedCheckpoint(handler.name, 'orders'), position],
        }),
      streams: async () =>
        (
          await db.database.query<{ stream: string }>({
            text: 'SELECT stream FROM handler_cursors WHERE handler = $1 ORDER BY stream',
            values: [handler.name],
          })
        ).map(({ stream }) => stream),
      floor: async () => (await readSeen(db.database, handler.name, ['orders.order/x'])).floors.get('orders'),
    };
  }

  test('end when all of the log up to their event is settled, and is a day old', async () => {
    const { append, see, settledUpTo, end, pass, streams, floor } = world();
    const [a, b] = [await append('a'), await append('b')];
    await see(a);
    await see(b);
    expect(await end()).toBe(0);
    await settledUpTo(a.position);
    // The first run notes the next floor.
    expect(await end()).toBe(0);
    pass(23 * hour);
    expect(await end()).toBe(0);
    expect(await streams()).toEqual([a.stream, b.stream]);
    pass(hour);
    await settledUpTo(b.position);
    expect(await end()).toBe(1);
    expect(await streams()).toEqual([b.stream]);
    expect(await floor()).toBe(a.position);
    expect(await end()).toBe(1);
    expect([await streams(), await floor()]).toEqual([[], b.position]);
    expect(await end()).toBe(0);
  });

  test('stay, and the floor too, if the log does not reach to where they are', async () => {
    const { append, see, settledUpTo, end, pass, streams } = world();
    const a = await append('a');
    await see(a);
    await settledUpTo(a.position + 5);
    await end();
    pass(48 * hour);
    expect(await end()).toBe(0);
    expect(await streams()).toEqual([a.stream]);
  });

  test('stay if reconciliation was set back since the next floor was noted, until it is there again', async () => {
    const { append, see, settledUpTo, end, pass, streams, floor } = world();
    const [a, b] = [await append('a'), await append('b')];
    await see(a);
    await settledUpTo(b.position);
    await end();
    pass(48 * hour);
    await settledUpTo(a.position);
    expect(await end()).toBe(0);
    await settledUpTo(b.position);
    expect([await end(), await streams(), await floor()]).toEqual([1, [], a.position]);
  });

  test('stay, and the floor too, if reconciliation is set back for a fail-over while the job runs', async () => {
    const { append, see, settledUpTo, end, pass, streams, floor, handler } = world();
    const a = await append('a');
    await see(a);
    await settledUpTo(a.position);
    await end();
    pass(48 * hour);
    const setBack = {
      text: 'UPDATE checkpoints SET log_epoch = log_epoch + 1 WHERE name = $1',
      values: [feedCheckpoint(handler.name, 'orders')],
    };
    expect(
      await end({
        query: db.database.query,
        async transaction(work) {
          await db.database.query(setBack);
          return db.database.transaction(work);
        },
      }),
    ).toBe(0);
    expect([await streams(), await floor()]).toEqual([[a.stream], 0]);
    expect([await end(), await streams(), await floor()]).toEqual([1, [], a.position]);
  });

  test('of version 0.2 lack their positions, or have stale ones: they are looked up, and end with a later floor', async () => {
    const { append, see, settledUpTo, end, pass, streams, handler } = world();
    const [a, b] = [await append('a'), await append('b')];
    await see({ ...a, position: undefined } as never);
    await see(b);
    const later = await append('b');
    const moveAsVersion02 = `INSERT INTO handler_cursors (handler, stream, version) VALUES ($1, $2, $3)
      ON CONFLICT (handler, stream) DO UPDATE SET version = greatest(handler_cursors.version, excluded.version)`;
    await db.database.query({ text: moveAsVersion02, values: [handler.name, b.stream, later.version] });
    await settledUpTo(b.position);
    await end();
    pass(24 * hour);
    await settledUpTo(later.position);
    expect(await end()).toBe(0);
    expect(await streams()).toEqual([a.stream, b.stream]);
    expect(await end()).toBe(2);
    expect(await streams()).toEqual([]);
  });

  test('more than a page of them end in one run, and its floor is a checkpoint', async () => {
    const { append, settledUpTo, end, pass, handler, streams } = world();
    const last = await append('a');
    await db.database.query({
      text: `INSERT INTO handler_cursors (handler, stream, version, position, position_of)
        SELECT $1, 'orders.order/' || n, 1, 1, 1 FROM generate_series(1, 4500) AS n`,
      values: [handler.name],
    });
    await settledUpTo(last.position);
    await end();
    pass(25 * hour);
    expect(await end()).toBe(4500);
    expect(await streams()).toEqual([]);
    const name = floorCheckpoint(handler.name, 'orders');
    const text = 'SELECT position FROM checkpoints WHERE name = $1';
    expect(await db.database.query({ text, values: [name] })).toEqual([{ position: last.position }]);
  });
});
