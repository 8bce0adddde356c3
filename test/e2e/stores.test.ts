/** The whole system as one process on the real servers: what it does is what it does on the embedded one. */

import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { describeOrders } from './orders-behaviour.ts';
import { describeReads } from './reads-behaviour.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'one process on the real servers', () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ form: 'stores' });
  }, 120_000);
  afterAll(() => system?.stop(), 120_000);

  describeOrders(() => system);
  describeReads(() => system);

  const it = systemTest(() => system);
  it('nothing of all this became a dead letter, and it stops in order', async () => {
    expect(await system.stores!.deadLetters()).toEqual([]);
    expect(await system.part('all').end('SIGTERM')).toBe(0);
  }, 60_000);
});
