/** What waits: traces in the inbox, if there is no broker, and changes of status that are not yet events. */
import type { ContextGauge } from '@caudal/context/context.ts';

export const inboxTraces: ContextGauge = {
  name: 'tracking_inbox_traces',
  description:
    'Traces in the inbox that are not written yet. With a broker, whose queue has the others, those that were put without it',
  unit: '1',
  async read({ database }) {
    const rows = await database.query<{ traces: number }>({
      text: 'SELECT least(coalesce(sum(traces), 0), 2000000000)::int AS traces FROM trace_inbox',
    });
    return rows[0]!.traces;
  },
};

export const inboxOldest: ContextGauge = {
  name: 'tracking_inbox_oldest_seconds',
  description: 'Age of the oldest batch in the inbox; 0 if it is empty, as it is with a broker',
  unit: 's',
  async read({ database }) {
    const rows = await database.query<{ age: number }>({
      text: `SELECT coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT received_at FROM trace_inbox ORDER BY position LIMIT 1)), 0)::float8 AS age`,
    });
    return Math.max(0, rows[0]!.age);
  },
};

export const pendingChanges: ContextGauge = {
  name: 'tracking_changes_pending',
  description: 'Changes of status that are not yet events of the log; 10,000 stands for more',
  unit: '1',
  async read({ database }) {
    const rows = await database.query<{ count: number }>({
      text: 'SELECT count(*)::int AS count FROM (SELECT FROM parcel_changes LIMIT 10000) c',
    });
    return rows[0]!.count;
  },
};
