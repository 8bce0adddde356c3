import { expect, test } from '@jest/globals';
import { connectionsOf } from './connections.ts';
import { contexts } from './contexts.ts';
import type { Role } from './settings/settings.ts';
import { roles } from './settings/settings.ts';

const all = contexts.map(({ name }) => name);
const of = (CAUDAL_ROLES: readonly Role[], CAUDAL_CONTEXTS = all) =>
  connectionsOf({ CAUDAL_ROLES: [...CAUDAL_ROLES], CAUDAL_CONTEXTS, CAUDAL_POOL_SIZE: 8 });

test('the pool does not grow with the contexts; appends have a connection for each', () => {
  expect(of(roles)).toEqual({ pool: 8, append: all.length, locks: 4, listen: 1, total: 13 + all.length });
  expect(of(['command'], ['orders'])).toEqual({ pool: 8, append: 1, locks: 4, listen: 1, total: 14 });
});

test.each(roles.map((role) => [role, ['command', 'saga', 'jobs', 'worker'].includes(role)] as const))(
  'the role %s appends: %s',
  (role, appends) => {
    const { append, locks, total } = of([role]);
    expect([append > 0, locks > 0]).toEqual([appends, appends]);
    expect(total).toBe(9 + append + locks);
  },
);
