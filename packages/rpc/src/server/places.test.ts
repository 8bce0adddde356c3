import { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openPlaces, type Party, type Place } from './places.ts';

const party = (key: string, kind: Party['kind'] = 'caller'): Party => ({ key, kind });
const mebibyte = 2 ** 20;
const limits = { maxConcurrent: 80, requestMemoryBytes: 32 * mebibyte };

function reasonOf(work: () => unknown): string {
  try {
    work();
    return 'OK';
  } catch (error) {
    if (error instanceof CaudalError) return error.reason;
    throw error;
  }
}

/** Takes places until one is refused: how many, and why not more. */
function fill(enter: () => unknown): [number, string] {
  for (let taken = 0; ; taken++) {
    const reason = reasonOf(enter);
    if (reason !== 'OK') return [taken, reason];
  }
}

describe('places', () => {
  test('one caller alone has seven eighths, and others always find one', () => {
    const places = openPlaces(limits);
    expect(fill(() => places.enter(party('hog'), 0))).toEqual([70, 'CALLER_BUSY']);
    expect(reasonOf(() => places.enter(party('other'), 0))).toBe('OK');
    const [taken, reason] = fill(() => places.enter(party('second hog'), 0));
    expect([taken > 0, reason]).toEqual([true, 'CALLER_BUSY']);
    for (let n = 0; n < 2; n++) expect(reasonOf(() => places.enter(party(`modest ${n}`), 0))).toBe('OK');
  });

  test.each([1, 9])(
    "Caudal's own calls fill nearly all, of %i services together, and are told that the server is busy",
    (services) => {
      const places = openPlaces(limits);
      let n = 0;
      const own = () => places.enter(party(`service:s${n++ % services}`, 'own'), 0);
      expect(fill(own)).toEqual([75, 'SERVER_BUSY']);
      expect(reasonOf(() => places.enter(party('service'), 0))).toBe('OK');
      for (n = 0; n < 4; n++) expect(reasonOf(() => places.enter(party(`user ${n}`), 0))).toBe('OK');
      expect(places.full()).toMatchObject({ reason: 'SERVER_BUSY', retryAfterMs: expect.any(Number) });
    },
  );

  test('a place is free once everybody has let go, and with it all bytes', () => {
    const places = openPlaces(limits);
    const { place, leave } = places.enter(party('a'), 100);
    place.take(1_000);
    place.answer(500, true);
    const done = place.hold();
    leave();
    leave();
    expect([places.active(), places.bytes()]).toEqual([1, { requests: 1_000, answers: 500 }]);
    done();
    expect([places.active(), places.bytes()]).toEqual([0, { requests: 0, answers: 0 }]);
    // What arrives later is not held.
    place.take(1_000);
    place.answer(1_000, false);
    expect(places.bytes()).toEqual({ requests: 0, answers: 0 });
    // Nor is it given back twice.
    place.hold()();
    expect(places.active()).toBe(0);
  });

  test('idle resolves with the last one, a forwarded one too', async () => {
    const places = openPlaces(limits);
    const { leave } = places.enter(party('a'), 0);
    const left = places.enterForwarded();
    let idle = false;
    const waiting = places.idle().then(() => {
      idle = true;
    });
    leave();
    await Promise.resolve();
    expect([idle, places.active()]).toEqual([false, 1]);
    left();
    left();
    await waiting;
    expect(places.active()).toBe(0);
  });
});

describe('bytes of requests', () => {
  const taker = (places: ReturnType<typeof openPlaces>, of: Party, bound = 4 * mebibyte): Place =>
    places.enter(of, bound).place;

  test('a caller has a quarter, in all its calls together', () => {
    const places = openPlaces(limits);
    const taken: string[] = [];
    for (let n = 0; n < 12; n++) taken.push(reasonOf(() => taker(places, party('hog')).take(mebibyte)));
    expect(taken).toEqual([
      ...Array.from({ length: 8 }, () => 'OK'),
      ...Array.from({ length: 4 }, () => 'CALLER_BUSY'),
    ]);
    expect(reasonOf(() => taker(places, party('other')).take(mebibyte))).toBe('OK');
  });

  test('a single call has as much as its method takes, also if that is more than a quarter', () => {
    const places = openPlaces({ ...limits, requestMemoryBytes: 16 * mebibyte });
    expect(reasonOf(() => taker(places, party('importer'), 5 * mebibyte).take(10 * mebibyte))).toBe('OK');
  });

  test('of callers without a token, all together have an eighth', () => {
    const places = openPlaces(limits);
    let held = 0;
    for (let n = 0; n < 40; n++)
      if (reasonOf(() => taker(places, party(`address ${n}`, 'nobody'), mebibyte).take(mebibyte / 4)) === 'OK')
        held += mebibyte / 4;
    expect(held).toBeGreaterThan(2 * mebibyte);
    expect(held).toBeLessThanOrEqual(4 * mebibyte);
    expect(reasonOf(() => taker(places, party('alice')).take(mebibyte))).toBe('OK');
  });

  test('services together leave a sixteenth to users', () => {
    const places = openPlaces(limits);
    let n = 0;
    const own = () => taker(places, party(`service:s${n++ % 9}`, 'own')).take(mebibyte);
    expect(fill(own)).toEqual([30, 'SERVER_BUSY']);
    for (n = 0; n < 4; n++) expect(reasonOf(() => taker(places, party(`user ${n}`)).take(64 * 1024))).toBe('OK');
  });

  test('never more than the budget, and a modest caller gets through as long as a mebibyte is left', () => {
    const steps = fc.array(fc.tuple(fc.nat({ max: 15 }), fc.integer({ min: 1, max: 2 * mebibyte })), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(steps, (all) => {
        const places = openPlaces({ ...limits, maxConcurrent: 1_000 });
        for (const [caller, bytes] of all) reasonOf(() => taker(places, party(`hog ${caller}`)).take(bytes));
        expect(places.bytes().requests).toBeLessThanOrEqual(32 * mebibyte);
        if (places.bytes().requests < 31 * mebibyte)
          expect(reasonOf(() => taker(places, party('modest')).take(1_000))).toBe('OK');
      }),
      { numRuns: 100 },
    );
  });
});

describe('bytes of answers', () => {
  test('a caller that leaves a quarter unread gets no further read, and no further place; others do', () => {
    const places = openPlaces(limits);
    const calls = Array.from({ length: 12 }, () => places.enter(party('deaf'), 0).place);
    const answers = calls.map((place) => reasonOf(() => place.answer(mebibyte, true)));
    expect(answers.filter((reason) => reason === 'OK')).toHaveLength(8);
    expect(answers.at(-1)).toBe('CALLER_BUSY');
    expect(reasonOf(() => places.enter(party('deaf'), 0))).toBe('CALLER_BUSY');
    expect(reasonOf(() => places.enter(party('other'), 0).place.answer(mebibyte, true))).toBe('OK');
    expect(reasonOf(() => places.enter(party('other'), 4 * mebibyte).place.take(mebibyte))).toBe('OK');
  });

  test('the answer to a command is never refused: its work is done', () => {
    const places = openPlaces(limits);
    for (let n = 0; n < 8; n++) places.enter(party('deaf'), 0).place.answer(mebibyte - 1, true);
    expect(reasonOf(() => places.enter(party('deaf'), 0).place.answer(mebibyte, false))).toBe('OK');
  });
});
