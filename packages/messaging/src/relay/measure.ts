/** Shows which queues of a log are set aside. Every relay measures, also one that does not lead. */
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { selectFollowers } from './followers.ts';

const everyMs = 10_000;
const setAside = gauge(
  'queue_set_aside',
  'Whether the relay has set a queue aside, because it takes no messages: 1 or 0',
  '1',
);

/** Measures until the signal fires. Never throws. */
export async function measureFollowers(options: {
  database: Database;
  domain: string;
  signal: AbortSignal;
}): Promise<void> {
  const { database, domain, signal } = options;
  let known = new Set<string>();
  const show = (aside: Set<string>) => {
    for (const queue of known) if (!aside.has(queue)) setAside.set(0, { domain, queue });
    for (const queue of aside) setAside.set(1, { domain, queue });
    known = new Set([...known, ...aside]);
  };
  while (!signal.aborted) {
    // If it fails, the next round measures again.
    const followers = await selectFollowers(database).catch(() => undefined);
    if (followers) show(new Set(followers.filter((of) => of.missedAfter !== undefined).map(({ queue }) => queue)));
    await sleep(everyMs * (0.75 + Math.random() / 2), signal);
  }
  show(new Set());
}
