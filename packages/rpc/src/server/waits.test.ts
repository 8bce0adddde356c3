import { expect, test } from '@jest/globals';
import { openWaits } from './waits.ts';

const caller = (subject: string) => ({ subject, permissions: new Set<string>() });

function begun(waits: ReturnType<typeof openWaits>, subject: string): ReturnType<typeof waits.begin>[] {
  const all: ReturnType<typeof waits.begin>[] = [];
  for (;;) {
    try {
      all.push(waits.begin(caller(subject)));
    } catch (error) {
      expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_WAITS' });
      return all;
    }
  }
}

test('a quarter of the places may wait, and one caller has half of that', () => {
  const waits = openWaits(1_000);
  expect(begun(waits, 'hog')).toHaveLength(125);
  expect(begun(waits, 'second').length).toBeGreaterThan(50);
  expect(begun(waits, 'modest').length).toBeGreaterThan(10);
});

test('with few places there are few waits, and at least one', () => {
  expect(begun(openWaits(50), 'hog')).toHaveLength(6);
  expect(begun(openWaits(1), 'hog')).toHaveLength(1);
});

test('waits are shorter while more than half are taken', () => {
  const waits = openWaits(40);
  const [first, ...others] = begun(waits, 'hog');
  expect([first!.timeoutMs, others.at(-1)!.timeoutMs, waits.begin(caller('b')).timeoutMs]).toEqual([2_000, 2_000, 500]);
  for (const wait of [first!, ...others]) wait.end();
  first!.end();
  expect(waits.begin(caller('b')).timeoutMs).toBe(2_000);
});

test("Caudal's services wait for many", () => {
  expect(begun(openWaits(1_000), 'service:orders').length).toBeGreaterThan(230);
});
