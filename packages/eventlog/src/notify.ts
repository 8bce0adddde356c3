/**
 * Wakes those who wait for the log to grow. A hint only: it is sent after the commit, in a statement of its own, so that
 * no append pays for it (a NOTIFY inside a transaction takes a lock of the whole server at commit), and at most once per
 * `everyMs` and process.
 */
import type { Database } from '@caudal/postgres/database.ts';

/** The channel of a schema's log. */
export function channelOf(schema: string): string {
  return `caudal_log_${schema}`;
}

export interface Notifier {
  /** The log has grown. */
  notify(): void;
  stop(): void;
}

export function notifier(database: Database, everyMs = 10): Notifier {
  let timer: NodeJS.Timeout | undefined;
  let again = false;
  let stopped = false;

  function send(): void {
    again = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (again && !stopped) send();
    }, everyMs);
    timer.unref();
    // Who misses it polls.
    const values = [channelOf(database.schema), ''];
    database.query({ name: 'eventlog-notify', text: 'SELECT pg_notify($1, $2)', values }).catch(() => {});
  }

  return {
    notify() {
      if (stopped) return;
      if (timer) again = true;
      else send();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
