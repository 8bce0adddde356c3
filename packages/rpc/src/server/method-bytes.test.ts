import { CaudalError } from '@caudal/kernel/errors.ts';
import { expect, test } from '@jest/globals';
import { openMethodBytes } from './method-bytes.ts';
import { openPlaces, type Party } from './places.ts';

const all = 1_000;
const party = (key: string): Party => ({ key, kind: 'caller' });

function opened() {
  const places = openPlaces({ maxConcurrent: 100, requestMemoryBytes: 1_000_000 });
  const bytes = openMethodBytes(all, 300);
  return {
    places,
    bytes,
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

test('a call whose caller has left counts until its handler has ended', () => {
  const { call, places } = opened();
  const left = call('a');
  expect(arrive(left, 1_000)).toBe('OK');
  const ended = left.place.hold();
  left.leave();
  expect(reasonOf(() => call('b').place.take(10))).toBe('SERVER_BUSY');
  expect(places.bytes().requests).toBe(1_000);
  ended();
  ended();
  expect(arrive(call('c'), 1_000)).toBe('OK');
  expect(places.bytes().requests).toBe(1_000);
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

/** Messages that wait for their turns, and those that have begun, in order. */
function waiting({ bytes }: ReturnType<typeof opened>) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const none = new AbortController().signal;
  return {
    begun,
    end: (name: string) => ends.get(name)!(),
    /** A message of the caller that is the first letter of its name. */
    begin: (name: string, size: number, signal = none): Promise<string> =>
      bytes.turn(name[0]!, size, signal).then(
        (end) => {
          begun.push(name);
          ends.set(name, end);
          return 'OK';
        },
        (error) => (error as CaudalError).reason,
      ),
  };
}
const turn = () => new Promise(setImmediate);

test('messages wait for room, and the callers that wait are served in turn', async () => {
  const of = opened();
  const { begun, begin, end } = waiting(of);
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2'].map((name) => begin(name, 600));
  await turn();
  expect(begun).toEqual(['a1', 'b1']);
  expect(reasonOf(() => of.call('c').place.take(1))).toBe('SERVER_BUSY');
  const order = ['a1', 'b1', 'a2', 'b2', 'a3', 'a4'];
  for (const name of order) {
    end(name);
    end(name);
    await turn();
  }
  expect(begun).toEqual(order);
  expect(await Promise.all(all)).toEqual(order.map(() => 'OK'));
  expect(arrive(of.call('c'), 900)).toBe('OK');
});

test('large messages begin one in a turn of the event loop, small ones together', async () => {
  const bytes = openMethodBytes(1_000_000);
  const { begun, begin } = waiting({ ...opened(), bytes });
  for (let n = 0; n < 3; n++) void begin(`a${n}`, 20_000);
  for (let n = 0; n < 100; n++) void begin(`b${n}`, 100);
  for (const expected of [1, 3, 5, 103]) {
    await turn();
    expect(begun).toHaveLength(expected);
  }
});

test('a message waits for a while, or until its stream is gone', async () => {
  const { begun, begin, end } = waiting(opened());
  const gone = new AbortController();
  expect(await begin('a1', 1_000)).toBe('OK');
  const [late, left] = [begin('b1', 10), begin('c1', 10, gone.signal)];
  gone.abort(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'Gone.'));
  expect(await left).toBe('CALL_CANCELLED');
  expect(await begin('c2', 10, gone.signal)).toBe('CALL_CANCELLED');
  expect(await late).toBe('SERVER_BUSY');
  end('a1');
  expect(await begin('d1', 10)).toBe('OK');
  expect(begun).toEqual(['a1', 'd1']);
});
