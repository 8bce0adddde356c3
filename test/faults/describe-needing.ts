/**
 * Tests that not every machine can run. If something is missing they are skipped, or fail with
 * CAUDAL_REQUIRE_SERVERS=all.
 */
import { missingServers, type ServerName } from '@caudal/testing/servers.ts';
import { describe, test } from '@jest/globals';

export interface Needs {
  servers: ServerName[];
  /** Whether each is there, by its name with how to get it. */
  others?: Record<string, boolean>;
}

/** `describe` for tests with these needs. */
export function describeNeeding({ servers, others = {} }: Needs, title: string, body: () => void): void {
  const absent = Object.keys(others).filter((name) => !others[name]);
  const missing = [...missingServers(servers), ...absent];
  const why = `${title} (no ${missing.join(', ')})`;
  if (missing.length === 0) describe(title, body);
  else if (process.env.CAUDAL_REQUIRE_SERVERS !== 'all') describe.skip(why, body);
  else
    test(why, () => {
      throw new Error(`There is no ${missing.join(', ')}, and CAUDAL_REQUIRE_SERVERS asks for all.`);
    });
}
