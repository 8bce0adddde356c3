/** The clock of a test. */
import { jest } from '@jest/globals';

const notFaked = [
  ...(['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] as const),
  ...(['nextTick', 'queueMicrotask', 'performance', 'hrtime'] as const),
];

/** Stops the clock at this time, in milliseconds since 1970, until `jest.useRealTimers()`. Timers are not affected. */
export function stopAt(time: number): void {
  jest.useFakeTimers({ doNotFake: notFaked, now: time });
}

/** Moves the clock forward, or back, and stops it there. */
export function letPass(ms: number): void {
  stopAt(Date.now() + ms);
}
