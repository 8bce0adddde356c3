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

test('further calls are refused, each once it arrives, until one has left', () => {
  const { call } = opened();
  const calls = ['a', 'b', 'c'].map(call);
  for (const { place } of calls) expect(reasonOf(() => place.take(400))).toBe('OK');
  const late = call('d');
  expect(reasonOf(() => late.place.take(10))).toBe('SERVER_BUSY');
  late.leave();
  calls[0]!.leave();
  expect(reasonOf(() => call('d').place.take(10))).toBe('OK');
});

test('a call that has begun to arrive goes on, and one that is larger than the bound is served', () => {
  const { call } = opened();
  const large = call('a');
  for (let part = 0; part < 4; part++) expect(reasonOf(() => large.place.take(1_000))).toBe('OK');
  expect(reasonOf(() => call('b').place.take(1))).toBe('SERVER_BUSY');
});

test('one caller alone leaves an eighth to others', () => {
  const { call } = opened();
  let taken = 0;
  while (reasonOf(() => call('hog').place.take(25)) === 'OK') taken += 25;
  expect(taken).toBe(875);
  expect(reasonOf(() => call('hog').place.take(25))).toBe('CALLER_BUSY');
  expect(reasonOf(() => call('other').place.take(25))).toBe('OK');
});

test('what is given back, or arrives after the call has been left, does not count', () => {
  const { call, places } = opened();
  const growing = call('a');
  growing.place.take(600);
  growing.place.take(1_200);
  growing.place.give(600);
  growing.place.give(1_200);
  growing.place.take(100);
  expect(reasonOf(() => call('b').place.take(700))).toBe('OK');
  growing.leave();
  growing.place.take(5_000);
  expect(reasonOf(() => call('c').place.take(200))).toBe('OK');
  expect(places.bytes().requests).toBe(900);
});
