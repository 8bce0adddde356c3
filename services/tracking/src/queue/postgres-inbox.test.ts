/** The inbox of traces: a batch is bounded in traces, however the rows before were. */
import { refusalOf } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openWorld } from '../testing/world.ts';
import { openInbox } from './postgres-inbox.ts';

describeWith(['postgres'], 'the inbox in PostgreSQL', () => {
  let world: Awaited<ReturnType<typeof openWorld>>;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world?.drop());

  test('after rows of one trace, a batch is not as many rows of a thousand', async () => {
    const { queue } = world;
    const bodies = (count: number) => Array.from({ length: count }, () => Buffer.from('trace'));
    for (let n = 0; n < 30; n++) await queue.put(bodies(1));
    for (let n = 0; n < 6; n++) await queue.put(bodies(1_000));
    const lane = queue.lane({ pollMs: 10 });
    const taken: number[] = [];
    const never = new AbortController().signal;
    for (let sum = 0; sum < 6_030; sum += taken.at(-1)!)
      taken.push(await lane.take(1_050, async (_, all) => expect(all.length).toBeLessThanOrEqual(1_050), never));
    expect(taken).toEqual([1_030, 1_000, 1_000, 1_000, 1_000, 1_000]);
    await lane.stop();
  });

  test('two lanes write at the same time, however large the rows are', async () => {
    const bodies = Array.from({ length: 1_000 }, () => Buffer.from('trace'));
    for (let n = 0; n < 5; n++) await world.queue.put(bodies);
    const never = new AbortController().signal;
    const [first, second] = [world.queue.lane({ pollMs: 10 }), world.queue.lane({ pollMs: 10 })];
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const writing = first.take(
      1_000,
      () => {
        begun.resolve();
        return gate.promise;
      },
      never,
    );
    await begun.promise;
    const beside = await second.take(1_000, async () => {}, never);
    gate.resolve();
    expect([await writing, beside]).toEqual([1_000, 1_000]);
    // Rows of one trace are taken in batches all the same.
    for (let n = 0; n < 250; n++) await world.queue.put(bodies.slice(0, 1));
    const sizes: number[] = [];
    for (let sum = 0; sum < 3_250; sum += sizes.at(-1)!) sizes.push(await first.take(2_000, async () => {}, never));
    expect(sizes).toEqual([2_000, 1_250]);
    expect(await first.take(2_000, async () => {}, never)).toBe(0);
  });

  test('callers that can wait leave room to those that can’t, and a full batch fits into an empty inbox', async () => {
    const bodies = (count: number) => Array.from({ length: count }, () => Buffer.from('trace'));
    const never = new AbortController().signal;
    const small = openInbox({ database: world.database, maxTraces: 1_000 });
    await small.put(bodies(1_000), { patient: true });
    const lane = small.lane({ pollMs: 10 });
    expect(await lane.take(2_000, async () => {}, never)).toBe(1_000);
    const inbox = openInbox({ database: world.database, maxTraces: 2_000 });
    for (let n = 0; n < 7; n++) await inbox.put(bodies(250), { patient: true });
    // In the same moment: the one that does not fit takes no other with it.
    const puts = [inbox.put(bodies(250), { patient: true }), inbox.put(bodies(250))];
    expect((await Promise.allSettled(puts)).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect((await refusalOf(inbox.put(bodies(1)))).reason).toBe('TRACE_QUEUE_FULL');
    for (let left = 2_000; left > 0; ) left -= await lane.take(2_000, async () => {}, never);
  });

  test('one row that is larger than a batch is taken alone', async () => {
    await world.queue.put(Array.from({ length: 500 }, () => Buffer.from('trace')));
    await world.queue.put([Buffer.from('trace')]);
    const lane = world.queue.lane({ pollMs: 10 });
    const never = new AbortController().signal;
    expect(await lane.take(100, async () => {}, never)).toBe(500);
    expect(await lane.take(100, async () => {}, never)).toBe(1);
    await lane.stop();
  });
});
