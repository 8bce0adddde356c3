/**
 * Whether a process is alive and ready, and how it ends. First it reports that it is not ready, and gives callers time
 * to notice. Then its components stop one after the other, the last started first.
 *
 *   starting --started()--> running --stop()--> draining (graceMs) --> stopping --> stopped
 *       └───────────────────stop()───────────────────────────────────────┘
 */
import { sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';

export type State = 'starting' | 'running' | 'draining' | 'stopping' | 'stopped';

export interface CheckReport {
  name: string;
  kind: 'live' | 'ready';
  /** What is wrong; undefined if nothing is. */
  problem: string | undefined;
}

export interface Report {
  state: State;
  live: boolean;
  ready: boolean;
  checks: CheckReport[];
}

export interface Lifecycle {
  /** Fires when the end begins, before a component stops: it ends loops and waits. */
  readonly ending: AbortSignal;
  /**
   * Adds a condition for being live (if it fails, the process should be restarted) or ready (if it fails, it should get
   * no work). `test` returns what is wrong, or undefined. It is called often, so it must not wait. Returns a function
   * that removes the condition.
   */
  addCheck(name: string, kind: 'live' | 'ready', test: () => string | undefined): () => void;
  /**
   * Adds a component to stop. Stops run in reverse order of registration, one at a time. One that takes longer than
   * `timeoutMs` (10,000) is not waited for. A component that is added while others stop already is stopped next.
   */
  onStop(name: string, stop: () => Promise<void> | void, options?: { timeoutMs?: number }): void;
  /** All components run: from now on the process is ready while the checks pass. */
  started(): void;
  /** Whether the process works at all. */
  isLive(): boolean;
  /** Whether it should get work. */
  isReady(): boolean;
  report(): Report;
  /**
   * Drains, then stops all components. Returns the names of those that failed to stop or did not stop in time. Never
   * throws; a second call returns the same.
   */
  stop(reason: string): Promise<string[]>;
}

interface Stop {
  name: string;
  stop: () => Promise<void> | void;
  timeoutMs: number;
}

const log = logger('lifecycle');

/** Stops one component within its time-out. Returns whether it stopped. */
async function stopOne({ name, stop, timeoutMs }: Stop): Promise<boolean> {
  const done = new AbortController();
  const stopped = (async () => stop())().then(
    () => 'stopped' as const,
    (error: unknown) => {
      log.error({ err: error, part: name }, 'did not stop cleanly');
      return 'failed' as const;
    },
  );
  const outcome = await Promise.race([stopped, sleep(timeoutMs, done.signal).then(() => 'late' as const)]);
  done.abort();
  if (outcome === 'late') log.error({ part: name, timeout_ms: timeoutMs }, 'did not stop in time');
  return outcome === 'stopped';
}

/**
 * The lifecycle of this process. `graceMs`: how long it works on after it has reported that it is not ready, so that
 * gateways and lists of endpoints catch up; 0 if absent. It does not wait if it was never ready.
 */
export function createLifecycle({ graceMs = 0 }: { graceMs?: number } = {}): Lifecycle {
  let state: State = 'starting';
  const ending = new AbortController();
  const checks = new Set<{ name: string; kind: 'live' | 'ready'; test: () => string | undefined }>();
  const stops: Stop[] = [];
  const failures: string[] = [];

  const run = (kind: 'live' | 'ready'): CheckReport[] =>
    [...checks]
      .filter((check) => check.kind === kind)
      .map(({ name, test }) => {
        try {
          return { name, kind, problem: test() };
        } catch (error) {
          return { name, kind, problem: `the check failed: ${(error as Error).message}` };
        }
      });
  const good = (reports: CheckReport[]) => reports.every(({ problem }) => problem === undefined);

  const stopAll = async () => {
    // A stack, so that components that are added during the loop are stopped too.
    for (let next = stops.pop(); next; next = stops.pop()) {
      if (!(await stopOne(next))) failures.push(next.name);
    }
  };
  const end = async (reason: string) => {
    log.info({ reason }, 'ending');
    const drain = state === 'running' ? graceMs : 0;
    state = 'draining';
    ending.abort();
    await sleep(drain);
    state = 'stopping';
    await stopAll();
    state = 'stopped';
    log.info({ failures }, 'stopped');
    return failures;
  };
  let ended: Promise<string[]> | undefined;

  return {
    ending: ending.signal,
    addCheck(name, kind, test) {
      const check = { name, kind, test };
      checks.add(check);
      return () => {
        checks.delete(check);
      };
    },
    onStop(name, stop, { timeoutMs = 10_000 } = {}) {
      stops.push({ name, stop, timeoutMs });
      if (state === 'stopped') void stopAll();
    },
    started() {
      if (state === 'starting') state = 'running';
    },
    isLive: () => good(run('live')),
    isReady: () => state === 'running' && good(run('ready')),
    report() {
      const live = run('live');
      const ready = run('ready');
      return { state, live: good(live), ready: state === 'running' && good(ready), checks: [...live, ...ready] };
    },
    stop(reason) {
      ended ??= end(reason);
      return ended;
    },
  };
}
