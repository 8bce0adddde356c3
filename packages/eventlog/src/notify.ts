/**
 * Wakes readers that wait for the log to grow. It is a hint, sent after the commit in a statement of its own, at most
 * once per `everyMs` and process. So no append pays for it: NOTIFY in a transaction takes a lock of the whole server at
 * commit.
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
    // A reader that misses it polls.
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
