/** What must hold after a fault is over and the system is idle. */
import { expect } from '@jest/globals';
import type { Json } from '../e2e/api.ts';
import type { SystemLogs } from '../e2e/logs.ts';
import type { System } from '../e2e/system.ts';

/** Every view equals the logs, every state can be folded, and there is no dead letter. */
export async function expectAllRight(system: System, logs: Pick<SystemLogs, 'settledHeads'>): Promise<void> {
  await logs.settledHeads();
  await expectViewsRight(system);
  await system.caudal('replay', 'all');
  expect(await system.stores!.deadLetters()).toEqual([]);
}

/** Every view equals the logs; returns the names of all views. `when` is part of the message if one does not. */
export async function expectViewsRight(system: System, when = 'afterwards'): Promise<string[]> {
  const { right, views } = JSON.parse(await system.caudal('verify', 'all', '--json'));
  const wrong = views.filter((view: Json) => !view.right);
  expect({ when, right, wrong }).toEqual({ when, right: true, wrong: [] });
  expect(views.length).toBeGreaterThan(5);
  return views.map(({ view }: Json) => view);
}
