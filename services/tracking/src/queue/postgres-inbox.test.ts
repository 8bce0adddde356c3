/** The inbox of traces: a batch is bounded in traces, however the rows before were. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openWorld } from '../testing/world.ts';

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
