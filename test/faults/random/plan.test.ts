import { expect, test } from '@jest/globals';
import { describeFault, type PlannedFault, planFaults } from './plan.ts';

const targets = {
  parts: ['command-1', 'query-1'],
  servers: ['postgres', 'redis'] as const,
  links: [{ part: 'query-1', server: 'redis' as const }],
};

function first(seed: number, count: number): PlannedFault[] {
  const plan = planFaults(seed, { ...targets, servers: [...targets.servers] });
  return Array.from({ length: count }, () => plan.next().value);
}

test('a seed gives the same faults every time, and another seed others', () => {
  expect(first(7, 200)).toEqual(first(7, 200));
  expect(first(7, 200)).not.toEqual(first(8, 200));
});

test('every kind of fault occurs', () => {
  const kinds = new Set(first(1, 300).map(({ fault }) => fault.kind));
  expect([...kinds].sort()).toEqual(['cut', 'delay', 'gateway', 'kill', 'kill-server', 'pause', 'restart', 'silence']);
});

test('a fault describes itself', () => {
  const planned: PlannedFault = { waitMs: 0, durationMs: 7_250, fault: { kind: 'pause', part: 'command-1' } };
  expect(describeFault(planned)).toBe('pause command-1 for 7.3 s');
});
