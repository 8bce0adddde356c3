/**
 * Tells readers in other processes how far the log has grown. It is a hint, sent after the commit in a statement of its own, at
 * most once per `everyMs` and process. So no append pays for it: NOTIFY in a transaction takes a lock of the whole server at
 * commit.
 */
import type { Database } from '@caudal/postgres/database.ts';

/** The channel of a schema's log. */
export function channelOf(schema: string): string {
  return `caudal_log_${schema}`;
}

/** The position in a notification; undefined if it has none, as those of version 0.2. */
export function positionIn(payload: string | undefined): number | undefined {
  return payload && /^\d{1,15}$/.test(payload) ? Number(payload) : undefined;
}

export interface Notifier {
  /** The log has grown up to this position. */
  notify(position: number): void;
  /** The log has gone on in another epoch, which may be shorter. */
  restart(): void;
  stop(): void;
}

export function notifier(database: Database, everyMs = 10): Notifier {
  let timer: NodeJS.Timeout | undefined;
  let grownTo = 0;
  let sent = 0;
  let stopped = false;

  function send(): void {
    sent = grownTo;
    timer = setTimeout(() => {
      timer = undefined;
      if (grownTo !== sent && !stopped) send();
    }, everyMs);
    timer.unref();
    // A reader that misses it polls.
    const values = [channelOf(database.schema), String(grownTo)];
    database.query({ name: 'eventlog-notify', text: 'SELECT pg_notify($1, $2)', values }).catch(() => {});
  }

  return {
    notify(position) {
      if (stopped) return;
      grownTo = Math.max(grownTo, position);
      if (!timer) send();
    },
    restart() {
      grownTo = 0;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
