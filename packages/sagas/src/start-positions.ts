/**
 * Where sagas begin: a new one, or one with a new name, at the end of its logs, or it would react to all of their history.
 * It is decided once for each log, before the first process that knows the saga runs. Events up to there count as seen
 * (cursor-store.ts). See docs/parts.md, Sagas begin at the end.
 */
import { domainsOf } from '@caudal/contract/entity.ts';
import { endOfLog } from '@caudal/eventlog/end-of-log.ts';
import { type Epoch, presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { feedCheckpoint, lossesCheckpoint, startCheckpoint, sweepCheckpoint } from '@caudal/messaging/checkpoints.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { TimedHandler } from './saga-handler.ts';

export type Starting = Pick<TimedHandler, 'name' | 'entities' | 'from'>;

const log = logger('saga');
const beginning: LogEnd = { position: 0, epoch: presentOf([]) };

async function positionsOf(database: Database, names: string[]): Promise<Map<string, number>> {
  const rows = await database.query<{ name: string; position: number }>({
    name: 'saga-starts',
    text: 'SELECT name, position FROM checkpoints WHERE name = ANY ($1::text[])',
    values: [names],
  });
  return new Map(rows.map(({ name, position }) => [name, position]));
}

/** Where a log ends, and its epoch (docs/fail-over.md). */
export interface LogEnd {
  position: number;
  epoch: Epoch;
}

/** Reads where a log ends, in one epoch: the end of an earlier one may be behind it. */
export async function readEnd(log: LogReader): Promise<LogEnd> {
  const present = () => presentOf(log.epochs?.() ?? []);
  for (let epoch = present(); ; epoch = present()) {
    const position = await endOfLog(log);
    if (present().number === epoch.number) return { position, epoch };
  }
}

/**
 * Records where the sagas of a context begin, where that is not recorded yet. `database`: the context's. `headOf`: the
 * end of a domain's log; undefined if it can't be known here, and is left to another call. Errors: those of
 * `headOf` and of the database.
 */
export async function recordStarts(options: {
  database: Database;
  sagas: Starting[];
  headOf(domain: string): Promise<LogEnd | undefined>;
}): Promise<void> {
  const { database, sagas, headOf } = options;
  for (const { name, entities, from } of sagas) {
    for (const domain of domainsOf(entities)) {
      const start = startCheckpoint(name, domain);
      const own = [sweepCheckpoint(name, domain), feedCheckpoint(name, domain)];
      const known = await positionsOf(database, [start, ...own]);
      if (known.has(start)) continue;
      const hasRun = known.size > 0;
      const end = hasRun ? beginning : await headOf(domain);
      if (end === undefined) continue;
      const { epoch } = end;
      const position = from === 'start' ? 0 : end.position;
      const rows: [name: string, position: number][] = [[start, position]];
      // Reconciliation and the log feed begin there too.
      if (position > 0) rows.push(...own.map((each): [string, number] => [each, position]));
      // What the log has lost before, the saga has not seen. Else it would be set back to there.
      if (epoch.number > 0) rows.push([lossesCheckpoint(name, domain), epoch.number]);
      // In one statement, so that a crash leaves all or none.
      await database.query({
        name: 'saga-record-start',
        text: `INSERT INTO checkpoints (name, position, log_epoch, log_epoch_after)
          SELECT name, position, $3, $4 FROM unnest($1::text[], $2::bigint[]) AS n (name, position)
          WHERE set_config('synchronous_commit', 'on', true) = 'on' ON CONFLICT (name) DO NOTHING`,
        values: [rows.map(([each]) => each), rows.map(([, to]) => to), epoch.number, epoch.after],
      });
      log.info({ handler: name, domain, position, hasRun }, 'it is recorded where a saga begins');
    }
  }
}
