/** Streams of traces, over gRPC into a real inbox. */
import {
  type StreamTracesRequest,
  TraceOutcome,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { start, stopAll } from '@caudal/rpc/testing/fixture.ts';
import { errorIn, streamClient } from '@caudal/rpc/testing/message-streams.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openWorld, trace, type World } from './testing/world.ts';

const { streamTraces } = TrackingServiceService;
const { TRACE_OUTCOME_ACCEPTED, TRACE_OUTCOME_DUPLICATE, TRACE_OUTCOME_REFUSED } = TraceOutcome;

/** A chunk of so many traces of a parcel. */
const chunk = (number: string, traces: number): StreamTracesRequest => ({
  traces: Array.from({ length: traces }, (_, index) => trace(number, index)),
});

describeWith(['postgres'], 'a stream of traces', () => {
  let world: World | undefined;
  const clients: { close(): void }[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await stopAll();
    await world?.drop();
    world = undefined;
  });

  async function opened(options: Parameters<typeof openWorld>[0] = {}) {
    world = await openWorld(options);
    return world;
  }
  async function served({ service }: Pick<World, 'service'>) {
    const server = await start({ auth: 'off' }, [service]);
    const client = streamClient(server.address);
    clients.push(client);
    return { server, open: () => client.open(streamTraces) };
  }
  const count = async ({ database }: World, text: string) => (await database.query<{ n: number }>({ text }))[0]!.n;
  const inInbox = (of: World) => count(of, 'SELECT coalesce(sum(traces), 0)::int AS n FROM trace_inbox');
  const written = (of: World) => count(of, 'SELECT count(*)::int AS n FROM traces');

  test('has what it answers on disk, and judges each trace by itself', async () => {
    const of = await opened();
    const { open } = await served(of);
    const stream = open();
    const [one, two] = chunk('a', 2).traces;
    stream.write({ traces: [one!, trace('a', 9, { happenTime: undefined }), two!, one!] });
    await until(() => stream.answers.length === 1);
    expect(await inInbox(of)).toBe(2);
    expect(stream.answers[0]).toMatchObject({ accepted: 2, error: undefined });
    expect(stream.answers[0]!.results.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ...[
        [TRACE_OUTCOME_ACCEPTED, ''],
        [TRACE_OUTCOME_REFUSED, 'HAPPEN_TIME_MISSING'],
      ],
      ...[
        [TRACE_OUTCOME_ACCEPTED, ''],
        [TRACE_OUTCOME_DUPLICATE, ''],
      ],
    ]);
    // A chunk that is wrong as a whole hinders no other.
    stream.write({ traces: [trace('', 1)] });
    stream.write(chunk('b', 3));
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(errorIn(stream.answers[1]!.error!).violations).toMatchObject([{ field: 'traces[0].tracking_number' }]);
    expect(stream.answers[2]!.accepted).toBe(3);
    expect(await inInbox(of)).toBe(5);
  });

  test('waits for a full queue for a while, says so then, and goes on', async () => {
    const of = await opened({ maxTraces: 50 });
    const { open } = await served(of);
    const stream = open();
    for (const number of ['a', 'b']) stream.write(chunk(number, 30));
    await until(() => stream.answers.length === 2);
    expect(stream.answers[0]).toMatchObject({ accepted: 30, error: undefined });
    expect(stream.answers[1]).toMatchObject({ accepted: 0, results: [] });
    expect(errorIn(stream.answers[1]!.error!)).toMatchObject({ reason: 'TRACE_QUEUE_FULL', retryAfterMs: 1_000 });
    expect(await inInbox(of)).toBe(30);
    of.work();
    for (const number of ['b', 'c', 'd', 'e', 'f', 'g', 'h']) stream.write(chunk(number, 30));
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(stream.answers.slice(2).map(({ accepted }) => accepted)).toEqual(Array(7).fill(30));
    await until(async () => (await written(of)) === 8 * 30);
  });

  test('that ends with its server is repeated from the first chunk without an answer, and nothing is lost or doubled', async () => {
    const of = await opened();
    of.work();
    const first = await served(of);
    const chunks = Array.from({ length: 60 }, (_, n) => chunk(`p${n}`, 50));
    const stream = first.open();
    for (const each of chunks) stream.write(each);
    await until(() => stream.answers.length >= 3);
    await first.server.stop();
    expect(await stream.error()).toMatchObject({ code: 'UNAVAILABLE' });
    const safe = stream.answers.length;
    // From one that is safe already on, as after an answer that was lost.
    const left = chunks.slice(safe - 1);
    const next = await served(of.open());
    const again = next.open();
    for (const each of left) again.write(each);
    again.finish();
    expect(await again.error()).toBeUndefined();
    expect(again.answers.map(({ accepted }) => accepted)).toEqual(left.map(() => 50));
    await until(async () => (await inInbox(of)) === 0);
    expect(await written(of)).toBe(60 * 50);
  });
});
