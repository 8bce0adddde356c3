import { unavailable } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openPatience, type Patience } from '../server/patience.ts';
import { type IntakeOptions, openIntake } from './intake.ts';

const patiences: Patience[] = [];
afterEach(() => {
  for (const patience of patiences.splice(0)) patience.stop();
});

/** An intake, and what it has done. */
function opened(more: Partial<IntakeOptions> = {}, limits: Partial<IntakeOptions['limits']> = {}) {
  const seen = { reads: 0, held: 0, ends: [] as unknown[] };
  const patience = openPatience();
  patiences.push(patience);
  const intake = openIntake({
    limits: { messages: 3, bytes: 1_000, idleMs: 60_000, messageMs: 60_000, ...limits },
    patience,
    place: {
      take(bytes) {
        seen.held += bytes;
      },
      give(bytes) {
        seen.held -= bytes;
      },
    },
    stillAllowed: async () => {},
    nextAllowed: async () => {},
    end(error) {
      seen.ends.push(error);
      intake.close();
    },
    ...more,
  });
  const want = () => intake.want(() => seen.reads++);
  /** A message of so many bytes arrives, and the next one is wanted. */
  const arrive = async (bytes: number) => {
    intake.arrive(bytes);
    intake.received();
    want();
    await turns();
  };
  /** One arrives and is taken. The function that says that it is answered. */
  const message = async (bytes: number) => {
    await arrive(bytes);
    const answered = intake.taken();
    await turns();
    return answered;
  };
  return { intake, seen, want, arrive, message };
}

/** Lets all promises go on that can. */
const turns = () => new Promise(setImmediate);

test('reads until so many messages have no answer, and one more for each answer', async () => {
  const { seen, want, message } = opened();
  want();
  await turns();
  const answered = await message(10);
  await message(10);
  expect(seen.reads).toBe(3);
  await message(10);
  expect(seen).toMatchObject({ reads: 3, held: 30 });
  answered();
  answered();
  await turns();
  expect(seen).toMatchObject({ reads: 4, held: 20, ends: [] });
});

test('reads no further message while those without an answer have so many bytes', async () => {
  const { seen, want, message } = opened();
  want();
  await turns();
  const answered = await message(999);
  expect(seen.reads).toBe(2);
  await message(2);
  expect(seen.reads).toBe(2);
  answered();
  await turns();
  expect(seen).toMatchObject({ reads: 3, held: 2 });
});

test('reads no further message before the last one is taken', async () => {
  const { intake, seen, want, arrive } = opened();
  want();
  await turns();
  await arrive(10);
  expect(seen).toMatchObject({ reads: 1, held: 10 });
  intake.taken();
  await turns();
  expect(seen).toMatchObject({ reads: 2, held: 10 });
});

test('asks before each message but the first, and ends if it may not be read', async () => {
  let asked = 0;
  const refusal = unavailable('credentials');
  const { seen, want, message } = opened({
    async nextAllowed() {
      if (++asked === 2) throw refusal;
    },
  });
  want();
  await turns();
  expect([seen.reads, asked]).toEqual([1, 0]);
  await message(1);
  expect([seen.reads, asked]).toEqual([2, 1]);
  await message(1);
  expect([seen.reads, asked, seen.ends]).toEqual([2, 2, [refusal]]);
});

test('asks while no message comes, too, and ends after a while', async () => {
  let asked = 0;
  const idle = opened({ stillAllowed: async () => void asked++ }, { idleMs: 3_500 });
  idle.want();
  const refusal = unavailable('credentials');
  const refused = opened({ stillAllowed: () => Promise.reject(refusal) });
  refused.want();
  await until(() => idle.seen.ends.length > 0 && refused.seen.ends.length > 0);
  expect(asked).toBeGreaterThan(0);
  expect(idle.seen.ends).toEqual([expect.objectContaining({ code: 'UNAVAILABLE', reason: 'STREAM_ENDED' })]);
  expect(refused.seen.ends).toEqual([refusal]);
});

test('a message that does not arrive completely ends the stream', async () => {
  const { intake, seen, want } = opened({}, { messageMs: 500 });
  want();
  await turns();
  intake.arrive(10);
  await until(() => seen.ends.length > 0);
  expect(seen.ends).toEqual([expect.objectContaining({ reason: 'REQUEST_TIMEOUT' })]);
});

test('reads nothing once it is closed', async () => {
  const { intake, seen, want, message } = opened();
  want();
  await turns();
  const answered = await message(1);
  intake.close();
  answered();
  want();
  await turns();
  expect(() => intake.arrive(100)).toThrow('read no more');
  expect(seen).toMatchObject({ reads: 2, held: 0 });
});
