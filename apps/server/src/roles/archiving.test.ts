import { setImmediate as tick } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { contexts } from '../contexts.ts';
import { inTurn, scheduleOf } from './archiving.ts';

test('the contexts of a process move their months one after the other; one that waits ends with its run', async () => {
  const steps: string[] = [];
  const gate = Promise.withResolvers<void>();
  const never = new AbortController().signal;
  const first = inTurn(async () => {
    steps.push('first');
    await gate.promise;
    steps.push('first ends');
  }, never);
  const ending = new AbortController();
  const second = inTurn(async () => void steps.push('second'), ending.signal);
  const third = inTurn(async () => void steps.push('third'), never);
  await tick();
  ending.abort(new Error('the lease is lost'));
  await expect(second).rejects.toThrow('the lease is lost');
  expect(steps).toEqual(['first']);
  gate.resolve();
  await Promise.all([first, third]);
  expect(steps).toEqual(['first', 'first ends', 'third']);
});

test('one that has begun is waited for, also when its signal fires', async () => {
  const ending = new AbortController();
  let ended = false;
  const run = inTurn(async () => {
    ending.abort(new Error('time is over'));
    await tick();
    ended = true;
  }, ending.signal);
  await expect(run).rejects.toThrow('time is over');
  expect(ended).toBe(true);
});

test('their times are spread over an hour', () => {
  const schedules = contexts.map(({ name }) => scheduleOf(name));
  for (const schedule of schedules) expect(schedule).toMatch(/^[1-5]?\d 1 \* \* \*$/);
  expect(new Set(schedules).size).toBeGreaterThan(schedules.length / 2);
});
