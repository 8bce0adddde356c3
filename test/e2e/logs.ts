/** The logs of a running system, read through its LogService: what was written, independent of views. */
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { remoteLog } from '@caudal/eventlog/log-service.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { contexts } from '@caudal/server/contexts.ts';
import type { System } from './system.ts';
import { until } from './wait.ts';

export interface SystemLogs {
  /** By domain. */
  readers: Map<string, LogReader>;
  /** The last position of each log, by domain. */
  heads(): Promise<Record<string, number>>;
  /** The same, after nothing has been written for a second. Waits with `until`. */
  settledHeads(timeoutMs?: number): Promise<Record<string, number>>;
  close(): void;
}

export function openLogs(system: System): SystemLogs {
  const part = system.parts.find(({ name }) => /^(all|command)/.test(name))!;
  const client = connect(LogServiceService, {
    address: part.grpc,
    auth: () => system.token({ subject: 'service:e2e', permissions: ['log.events.read'] }),
  });
  const readers = new Map(contexts.map(({ name }) => [name, remoteLog({ domain: name, client })]));

  async function heads(): Promise<Record<string, number>> {
    const found = [...readers].map(async ([domain, log]) => {
      const { head } = await log.readLog(0, { limit: 1 });
      return [domain, head] as const;
    });
    return Object.fromEntries(await Promise.all(found));
  }

  return {
    readers,
    heads,
    async settledHeads(timeoutMs) {
      let last = '';
      let since = performance.now();
      const isQuiet = (now: Record<string, number>) => {
        if (JSON.stringify(now) !== last) {
          last = JSON.stringify(now);
          since = performance.now();
        }
        return performance.now() - since > 1_000;
      };
      return until('nothing is written any more', heads, isQuiet, timeoutMs);
    },
    close: () => client.close(),
  };
}
