import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { createProgress } from './progress.ts';

function streamOf(properties: object) {
  const stream = Object.assign(new PassThrough(), properties) as unknown as NodeJS.WriteStream;
  return { stream, written: () => String((stream as unknown as PassThrough).read() ?? '') };
}

test('in a log: a line at intervals, and one at the end of each step', () => {
  const { stream, written } = streamOf({ isTTY: false });
  let seconds = 0;
  const progress = createProgress({ stream, clock: () => new Date(seconds * 1000) });
  for (let done = 0; done <= 12; done++) {
    progress.update({ step: 'orders', done, total: 12 });
    seconds++;
  }
  progress.stop();
  expect(written()).toBe('orders: 0 of 12\norders: 5 of 12\norders: 10 of 12\norders: 12 of 12\n');
});

test('on a terminal: a bar for each step', () => {
  const { stream, written } = streamOf({
    isTTY: true,
    columns: 80,
    cursorTo: () => true,
    moveCursor: () => true,
    clearLine: () => true,
  });
  const progress = createProgress({ stream, clock: () => new Date() });
  progress.update({ step: 'customers', done: 0, total: 2 });
  progress.update({ step: 'customers', done: 2, total: 2 });
  progress.update({ step: 'orders', done: 0, total: 0 });
  progress.stop();
  expect(written()).toMatch(/customers .*2\/2[\s\S]*orders .*0\/0/);
});
