import { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import { createLogger } from './log.ts';

function capture(level?: string) {
  const lines: string[] = [];
  const log = createLogger(level, { write: (line) => lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) };
}

describe('logs', () => {
  test('are JSON lines with level, time and component', () => {
    const { log, last } = capture();
    log.child({ component: 'relay' }).info({ position: 7 }, 'published');
    expect(last()).toEqual({
      level: 'info',
      time: expect.any(String),
      component: 'relay',
      position: 7,
      msg: 'published',
    });
  });

  test('hide secrets and personal fields, at the top and inside', () => {
    const { log, lines } = capture();
    log.info({ email: 'hidden', customer: { displayName: 'hidden' }, call: { request: { card_token: 'hidden' } } });
    log.child({ token: 'hidden' }).info('x');
    expect(lines.join('')).not.toContain('hidden');
  });

  test('have of an error its type, message and cause, and nothing that clients attach to it', () => {
    const { log, last } = capture();
    const cause = Object.assign(new Error('connect amqp://caudal:hidden@broker failed'), { meta: { body: 'hidden' } });
    log.warn({ err: new CaudalError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE', 'no broker', { cause }) }, 'away');
    expect(last().err).toMatchObject({
      type: 'CaudalError',
      code: 'UNAVAILABLE',
      reason: 'DEPENDENCY_UNAVAILABLE',
      cause: { message: 'connect amqp://caudal:***@broker failed' },
    });
    log.error(cause);
    expect(last().msg).toBe('connect amqp://caudal:***@broker failed');
    expect(JSON.stringify(last())).not.toContain('hidden');
  });

  test.each([
    ['a circle', () => Object.assign([], { 0: globalThis })],
    ['a bigint', () => 12n],
    ['a getter that throws', () => Object.defineProperty({}, 'x', { enumerable: true, get: () => JSON.parse('{') })],
    ['undefined', () => undefined],
  ])('do not throw for %s', (_, value) => {
    const { log, last } = capture();
    log.info({ value: value() }, 'kept');
    expect(last().msg).toContain('kept');
  });

  test('an unknown level is info', () => {
    expect(capture('loud').log.level).toBe('info');
    expect(capture('debug').log.level).toBe('debug');
  });
});
