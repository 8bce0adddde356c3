/**
 * Whether a process is alive and ready, and how it ends: first it says that it is no longer ready and lets those who
 * send it work notice, then its components stop one after the other, the last started first.
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
  /** What is wrong; undefined if all is well. */
  problem: string | undefined;
}

export interface Report {
  state: State;
  live: boolean;
  ready: boolean;
  checks: CheckReport[];
}

export interface Lifecycle {
  /** Fires when the end begins, before anything stops: for loops and waits that should not go on. */
  readonly ending: AbortSignal;
  /**
   * Adds a condition of being live (a failure means: restart me) or ready (means: send me nothing). `test` returns what
   * is wrong, or undefined. It is asked often: it looks at what is known already and waits for nothing. Gives what takes
   * the condition away again, with the component that it is about.
   */
  addCheck(name: string, kind: 'live' | 'ready', test: () => string | undefined): () => void;
  /**
   * Adds something to stop. Stops run in reverse order of registration, one at a time; each gets `timeoutMs` (10,000)
   * and is then left behind. Added while the others stop already, it is stopped next.
   */
  onStop(name: string, stop: () => Promise<void> | void, options?: { timeoutMs?: number }): void;
  /** Everything is up: ready from now on, as far as the checks agree. */
  started(): void;
  /** Whether the process works at all. */
  isLive(): boolean;
  /** Whether it should get work. */
  isReady(): boolean;
  report(): Report;
  /**
   * Ends: drains, then stops everything. Never throws; called again, it answers the same. Gives the names of what
   * failed to stop or did not stop in time.
   */
  stop(reason: string): Promise<string[]>;
}

interface Stop {
  name: string;
  stop: () => Promise<void> | void;
  timeoutMs: number;
}

const log = logger('lifecycle');

/** Stops one component within its time. Whether it did. */
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
 * The lifecycle of this process. `graceMs`: how long it keeps working after it has said that it is not ready any more,
 * so that gateways and endpoints lists catch up; 0 if absent, and not spent if it was never ready.
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
    // A stack, so that what is added meanwhile has its turn too.
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
