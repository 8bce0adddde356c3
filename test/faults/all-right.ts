/** What must be true once a fault is over and all has come to rest. */
import { expect } from '@jest/globals';
import type { Json } from '../e2e/api.ts';
import type { SystemLogs } from '../e2e/logs.ts';
import type { System } from '../e2e/system.ts';

/** Every view is what the logs say, every state can be folded, and nothing is a dead letter. */
export async function expectAllRight(system: System, logs: Pick<SystemLogs, 'settledHeads'>): Promise<void> {
  await logs.settledHeads();
  await expectViewsRight(system);
  await system.caudal('replay', 'all');
  expect(await system.stores!.deadLetters()).toEqual([]);
}

/** Every view is what the logs say: the names of all views. `when` is told where it is not so. */
export async function expectViewsRight(system: System, when = 'afterwards'): Promise<string[]> {
  const { right, views } = JSON.parse(await system.caudal('verify', 'all', '--json'));
  const wrong = views.filter((view: Json) => !view.right);
  expect({ when, right, wrong }).toEqual({ when, right: true, wrong: [] });
  expect(views.length).toBeGreaterThan(5);
  return views.map(({ view }: Json) => view);
}
