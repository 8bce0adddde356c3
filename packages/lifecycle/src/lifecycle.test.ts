import { describe, expect, test } from '@jest/globals';
import { createLifecycle } from './lifecycle.ts';

describe('being live and ready', () => {
  test('is ready only from the start to the end, and live all the time', async () => {
    const lifecycle = createLifecycle();
    expect([lifecycle.isLive(), lifecycle.isReady()]).toEqual([true, false]);
    lifecycle.started();
    expect(lifecycle.isReady()).toBe(true);
    const stopped = lifecycle.stop('test');
    expect([lifecycle.isLive(), lifecycle.isReady()]).toEqual([true, false]);
    await stopped;
    lifecycle.started();
    expect(lifecycle.report()).toEqual({ state: 'stopped', live: true, ready: false, checks: [] });
  });

  test('a check can fail, and reports what is wrong', () => {
    const lifecycle = createLifecycle();
    lifecycle.started();
    let problem: string | undefined = 'no connection';
    lifecycle.addCheck('broker', 'ready', () => problem);
    const remove = lifecycle.addCheck('loop', 'live', () => {
      throw new Error('boom');
    });
    expect(lifecycle.report()).toEqual({
      state: 'running',
      live: false,
      ready: false,
      checks: [
        { name: 'loop', kind: 'live', problem: 'the check failed: boom' },
        { name: 'broker', kind: 'ready', problem: 'no connection' },
      ],
    });
    problem = undefined;
    expect([lifecycle.isLive(), lifecycle.isReady()]).toEqual([false, true]);
    remove();
    expect(lifecycle.isLive()).toBe(true);
  });
});

describe('stopping', () => {
  test('stops in reverse order, one at a time, and continues after components that fail or hang', async () => {
    const lifecycle = createLifecycle();
    const order: string[] = [];
    const add = (name: string, stop: () => Promise<void> | void, timeoutMs?: number) => {
      const named = () => {
        order.push(name);
        return stop();
      };
      lifecycle.onStop(name, named, { timeoutMs });
    };
    add('log', async () => {});
    add('throws', () => {
      throw new Error('boom');
    });
    add('hangs', () => new Promise(() => {}), 20);
    add('slow', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push('slow is done');
    });
    lifecycle.started();
    const [first, second] = await Promise.all([lifecycle.stop('a'), lifecycle.stop('b')]);
    expect(order).toEqual(['slow', 'slow is done', 'hangs', 'throws', 'log']);
    expect(first).toEqual(['hangs', 'throws']);
    expect(second).toBe(first);
  });

  test('stops components that are added during or after the stop', async () => {
    const lifecycle = createLifecycle();
    const order: string[] = [];
    lifecycle.onStop('first', () => void order.push('first'));
    lifecycle.onStop('second', () => lifecycle.onStop('late', () => void order.push('late')));
    await lifecycle.stop('test');
    expect(order).toEqual(['late', 'first']);
    await new Promise<void>((resolve) => lifecycle.onStop('later', resolve));
  });

  test('is announced before a component stops, and begins after the grace', async () => {
    const lifecycle = createLifecycle({ graceMs: 300 });
    lifecycle.started();
    const seen: string[] = [];
    lifecycle.ending.addEventListener('abort', () => seen.push(`${lifecycle.report().state} ${lifecycle.isReady()}`));
    lifecycle.onStop('server', () => void seen.push(lifecycle.report().state));
    const begun = performance.now();
    await lifecycle.stop('test');
    expect(seen).toEqual(['draining false', 'stopping']);
    // Node counts a timer from the start of the current turn of its event loop, which may be some time ago.
    expect(performance.now() - begun).toBeGreaterThan(150);
  });

  test('does not wait for the grace if the process never was ready', async () => {
    const lifecycle = createLifecycle({ graceMs: 60_000 });
    await expect(lifecycle.stop('test')).resolves.toEqual([]);
  });
});
