import { expect, test } from '@jest/globals';
import { openMethodBytes } from './method-bytes.ts';
import { openPlaces, type Party } from './places.ts';

const all = 1_000;
const party = (key: string): Party => ({ key, kind: 'caller' });

function opened() {
  const places = openPlaces({ maxConcurrent: 100, requestMemoryBytes: 1_000_000 });
  const bytes = openMethodBytes(all);
  return {
    places,
    /** A call of which nothing has arrived. */
    call(key: string) {
      const { place, leave } = places.enter(party(key), 5_000);
      return bytes.within(place, leave);
    },
  };
}

const reasonOf = (work: () => void): string => {
  try {
    work();
    return 'OK';
  } catch (error) {
    return (error as { reason: string }).reason;
  }
};

/** The bytes of a call arrive, to the last. */
const arrive = ({ place }: ReturnType<ReturnType<typeof opened>['call']>, bytes: number): string =>
  reasonOf(() => {
    place.take(bytes);
    place.received();
  });

test('further calls are refused at their first byte, until one has left', () => {
  const { call, places } = opened();
  const calls = ['a', 'b', 'c'].map(call);
  for (const each of calls) expect(arrive(each, 350)).toBe('OK');
  const late = call('d');
  expect(reasonOf(() => late.place.take(10))).toBe('SERVER_BUSY');
  expect(places.bytes().requests).toBe(1_050);
  late.leave();
  calls[0]!.leave();
  expect(arrive(call('d'), 10)).toBe('OK');
});

test('what only arrives keeps nobody out, and is refused in the end if others have filled the bound meanwhile', () => {
  const { call } = opened();
  const slow = ['a', 'b', 'c', 'd'].map(call);
  for (const { place } of slow) for (const _ of [1, 2]) place.take(1_000);
  const quick = [call('e'), call('f')];
  for (const each of quick) expect(arrive(each, 500)).toBe('OK');
  expect(reasonOf(() => slow[0]!.place.take(1_000))).toBe('OK');
  expect(reasonOf(slow[0]!.place.received)).toBe('SERVER_BUSY');
  quick[0]!.leave();
  expect(reasonOf(slow[1]!.place.received)).toBe('OK');
  expect(reasonOf(slow[2]!.place.received)).toBe('SERVER_BUSY');
});

test('one that is larger than the bound is served, and one more at a time', () => {
  const { call } = opened();
  const large = call('a');
  expect(arrive(large, 4_000)).toBe('OK');
  expect(reasonOf(() => call('b').place.take(1))).toBe('SERVER_BUSY');
  large.leave();
  expect(arrive(call('b'), 4_000)).toBe('OK');
});

test('one caller alone leaves an eighth to others', () => {
  const { call } = opened();
  let taken = 0;
  while (arrive(call('hog'), 25) === 'OK') taken += 25;
  expect(taken).toBe(875);
  expect(reasonOf(() => call('hog').place.take(25))).toBe('CALLER_BUSY');
  expect(arrive(call('other'), 25)).toBe('OK');
});

test('what is given back, or arrives after the call has been left, does not count', () => {
  const { call, places } = opened();
  const growing = call('a');
  growing.place.take(600);
  growing.place.take(1_200);
  growing.place.give(600);
  growing.place.received();
  growing.place.give(1_200);
  growing.place.take(100);
  const other = call('b');
  expect(arrive(other, 700)).toBe('OK');
  growing.leave();
  growing.place.take(5_000);
  expect(arrive(call('c'), 200)).toBe('OK');
  expect(places.bytes().requests).toBe(900);
  other.leave();
  const left = call('d');
  left.leave();
  left.place.received();
  expect(arrive(call('e'), 900)).toBe('OK');
});
