import { TraceBatch } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { refusalOf } from '@caudal/testing/call.ts';
import { expect, test } from '@jest/globals';
import { type EncodedBatch, groupPuts, queueFull } from './group-puts.ts';

const bodies = (count: number, byte = 1) => Array.from({ length: count }, () => Buffer.from([byte]));

/** Writes that end when they are told to. */
function held() {
  const writes: { batch: EncodedBatch; end(error?: Error): void }[] = [];
  const { put, accepted } = groupPuts(
    (batch) =>
      new Promise((resolve, reject) => {
        writes.push({ batch, end: (error) => (error ? reject(error) : resolve()) });
      }),
  );
  return { writes, put, accepted };
}

test('puts of the same moment are one write, in their order, and each gets its outcome', async () => {
  const { writes, put } = held();
  const puts = [put(bodies(2, 1)), put(bodies(1, 2))];
  await Promise.resolve();
  await Promise.resolve();
  expect(writes).toHaveLength(1);
  expect(TraceBatch.decode(writes[0]!.batch.body).traces.map(([byte]) => byte)).toEqual([1, 1, 2]);
  expect(writes[0]!.batch.traces).toBe(3);
  writes[0]!.end(new Error('gone'));
  for (const one of puts) await expect(one).rejects.toThrow('gone');
});

test('a batch has at most 1,000 traces, and what waits is bounded', async () => {
  const { writes, put } = held();
  const puts = Array.from({ length: 20 }, () => put(bodies(1_000)));
  expect(await refusalOf(put(bodies(1)))).toEqual({ code: 'RESOURCE_EXHAUSTED', reason: 'TRACE_QUEUE_FULL' });
  while (writes.length < 20) {
    for (const write of writes) write.end();
    await Promise.resolve();
  }
  for (const write of writes) write.end();
  await Promise.all(puts);
  expect(writes.map(({ batch }) => batch.traces)).toEqual(Array.from({ length: 20 }, () => 1_000));
});

test('callers that can wait leave a quarter of the room to the others, and share no write with them', async () => {
  const { writes, put, accepted } = held();
  const puts = Array.from({ length: 15 }, () => put(bodies(1_000, 1), { patient: true }));
  expect((await refusalOf(put(bodies(1, 1), { patient: true }))).reason).toBe('TRACE_QUEUE_FULL');
  puts.push(put(bodies(10, 2)));
  while (writes.length < 16) {
    for (const write of writes) write.end();
    await Promise.resolve();
  }
  for (const write of writes) write.end();
  await Promise.all(puts);
  const found = writes.findIndex(({ batch }) => !batch.patient);
  expect(writes[found]!.batch.traces).toBe(10);
  // In turn: it does not wait for all that came before.
  expect(found).toBeLessThan(5);
  expect(accepted()).toBe(15_010);
});

test('a put that is refused, or fails, does not count as taken in', async () => {
  const { writes, put, accepted } = held();
  const failed = Array.from({ length: 20 }, () => refusalOf(put(bodies(1_000))));
  const refused = Array.from({ length: 10 }, () => refusalOf(put(bodies(1_000))));
  for (const one of await Promise.all(refused)) expect(one.reason).toBe('TRACE_QUEUE_FULL');
  expect(accepted()).toBe(0);
  while (writes.length < 20) {
    for (const write of writes) write.end(queueFull());
    await Promise.resolve();
  }
  for (const write of writes) write.end(queueFull());
  await Promise.all(failed);
  expect(accepted()).toBe(0);
});
