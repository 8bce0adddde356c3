/** A process whose environment still has the role `process` runs the saga role. */
import { loadConfig } from '@caudal/config/config.ts';
import { expect, test } from '@jest/globals';
import { type Role, roles, settings } from './settings.ts';

test('the former role process becomes the role saga', () => {
  const warnings: string[] = [];
  const { CAUDAL_ROLES } = loadConfig(settings, {
    env: { CAUDAL_ROLES: 'relay,process' },
    warn: (message) => warnings.push(message),
  });
  expect(CAUDAL_ROLES).toEqual(['relay', 'saga'] satisfies Role[]);
  expect(warnings).toEqual([expect.stringContaining('"process" is deprecated')]);
});

test('without the variable all roles run, under their present names, and nothing warns', () => {
  const warnings: string[] = [];
  const { CAUDAL_ROLES } = loadConfig(settings, { env: {}, warn: (message) => warnings.push(message) });
  expect(CAUDAL_ROLES).toEqual([...roles]);
  expect(CAUDAL_ROLES).not.toContain('process');
  expect(warnings).toEqual([]);
});
