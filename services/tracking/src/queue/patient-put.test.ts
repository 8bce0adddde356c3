import { unavailable } from '@caudal/kernel/errors.ts';
import { refusalOf } from '@caudal/testing/call.ts';
import { expect, test } from '@jest/globals';
import { queueFull } from './group-puts.ts';
import { patientPut } from './patient-put.ts';
import type { PutOptions } from './types.ts';

const bodies = [new Uint8Array(1)];
const inMs = (ms: number) => new Date(Date.now() + ms);
const never = () => new AbortController().signal;

/** A queue that fails so often, with this error. */
function failing(times: number, error: () => Error) {
  let puts = 0;
  return {
    puts: () => puts,
    put: async (_: Uint8Array[], options?: PutOptions) => {
      expect(options).toEqual({ patient: true });
      if (++puts <= times) throw error();
    },
  };
}

test('a full queue is tried again until there is room', async () => {
  const queue = failing(3, queueFull);
  await patientPut(queue, { deadline: inMs(60_000), signal: never() })(bodies);
  expect(queue.puts()).toBe(4);
});

test('one that stays full is refused before the deadline, with a time to wait', async () => {
  const queue = failing(Number.POSITIVE_INFINITY, queueFull);
  const deadline = inMs(1_500);
  const put = patientPut(queue, { deadline, signal: never() })(bodies);
  await expect(put).rejects.toMatchObject({ reason: 'TRACE_QUEUE_FULL', retryAfterMs: 1_000 });
  expect(Date.now()).toBeLessThan(deadline.getTime());
  expect(queue.puts()).toBeGreaterThan(1);
});

test('a caller that has gone is waited for no more', async () => {
  const gone = new AbortController();
  const queue = failing(Number.POSITIVE_INFINITY, () => {
    gone.abort();
    return queueFull();
  });
  await refusalOf(patientPut(queue, { deadline: inMs(60_000), signal: gone.signal })(bodies));
  expect(queue.puts()).toBe(1);
});

test('other errors are thrown at once', async () => {
  const queue = failing(1, () => unavailable('PostgreSQL'));
  const refusal = await refusalOf(patientPut(queue, { deadline: inMs(60_000), signal: never() })(bodies));
  expect(refusal.code).toBe('UNAVAILABLE');
  expect(queue.puts()).toBe(1);
});
