/**
 * Tests name the servers that they need. If one is missing they are skipped, or fail with CAUDAL_REQUIRE_SERVERS=all.
 */
import { describe } from '@jest/globals';
import { missingServers, type ServerName } from './servers.ts';

/** `describe` for tests that need these servers. */
export function describeWith(names: ServerName[], title: string, body: () => void): void {
  const missing = missingServers(names);
  if (missing.length === 0 || process.env.CAUDAL_REQUIRE_SERVERS === 'all') describe(title, body);
  else describe.skip(`${title} (no ${missing.join(', ')})`, body);
}
