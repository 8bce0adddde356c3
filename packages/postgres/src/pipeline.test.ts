import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sqlState } from './errors.ts';
import { openPipeline, type Pipeline } from './pipeline.ts';

const unavailable = { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' };
const pidOf = async (pipeline: Pipeline) =>
  (await pipeline.query<{ pid: number }>({ text: 'SELECT pg_backend_pid() AS pid' }))[0]!.pid;

describeWith(['postgres'], 'openPipeline', () => {
  let fresh: FreshDatabase;
  let pipeline: Pipeline;
  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterEach(() => pipeline.close());
  afterAll(() => fresh.drop());
  const open = (more = {}) => {
    pipeline = openPipeline({ url: fresh.url, schema: 'public', ...more });
    return pipeline;
  };

  test('statements share a connection, run in order, and fail alone', async () => {
    const { query } = open();
    await query({ text: 'CREATE TABLE steps (n serial, step text)' });
    const add = (step: string) => query({ name: 'add', text: 'INSERT INTO steps (step) VALUES ($1)', values: [step] });
    const wrong = query({ text: 'SELECT 1/0' }).catch((error: unknown) => error);
    await Promise.all([add('a'), wrong, add('b'), query({ text: 'SELECT pg_sleep(0.05)' }), add('c')]);
    expect(sqlState(await wrong)).toBe('22012');
    expect(await query({ text: 'SELECT step FROM steps ORDER BY n' })).toEqual([
      { step: 'a' },
      { step: 'b' },
      { step: 'c' },
    ]);
  });

  test('a statement is sent before the previous one is answered', async () => {
    const proxy = await startTcpProxy(fresh.url);
    const { query } = open({ url: proxy.url });
    await query({ text: 'CREATE TABLE sent (n int)' });
    const answers = [
      query({ text: 'SELECT pg_sleep(0.3)' }),
      query({ text: 'INSERT INTO sent VALUES (1)' }),
      query({ text: 'SELECT n FROM sent' }),
    ];
    // While the first one sleeps, all three are sent. From then on no answer arrives.
    const witness = openPipeline({ url: fresh.url, schema: 'public' });
    const asleep = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(0.3)' AND state = 'active'";
    while ((await witness.query({ text: asleep })).length === 0);
    proxy.silence(true);
    while ((await witness.query({ text: 'SELECT n FROM sent' })).length === 0);
    await witness.close();
    proxy.silence(false);
    expect((await Promise.all(answers))[2]).toEqual([{ n: 1 }]);
    await proxy.close();
  });

  test('a lost connection fails the statements in flight; the next one connects again', async () => {
    const { query } = open();
    const before = await pidOf(pipeline);
    const lost = ['SELECT pg_terminate_backend(pg_backend_pid())', 'SELECT 1', 'SELECT 2'].map((text) =>
      query({ text }).catch((error: unknown) => error),
    );
    for (const error of await Promise.all(lost)) expect(error).toMatchObject(unavailable);
    expect(await pidOf(pipeline)).not.toBe(before);
  });

  test('a wait that is too long is UNAVAILABLE, and the connection is used again', async () => {
    const { query } = open({ statementTimeoutMs: 300 });
    const before = await pidOf(pipeline);
    const late = await query({ text: 'SELECT pg_sleep(20)' }).catch((error: unknown) => error);
    expect(late).toMatchObject(unavailable);
    expect(sqlState(late)).toBe('57014');
    expect(await pidOf(pipeline)).toBe(before);
  });

  test('after close there are no more statements', async () => {
    const { query } = open();
    await query({ text: 'SELECT 1' });
    await pipeline.close();
    await expect(query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
  });
});

describe('openPipeline without a server', () => {
  test('without a listener: UNAVAILABLE', async () => {
    const pipeline = openPipeline({ url: 'postgres://nobody@127.0.0.1:1/none', schema: 's' });
    await expect(pipeline.query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
    await pipeline.close();
  });
});
