/**
 * Makes changes of status events of the log. The change was written with the traces; it is deleted once its event is durable, and a
 * repeat adds none, since the stream knows the revision. So a crash anywhere neither loses an event nor adds one twice.
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { int4Array, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { changeStatus, parcelDecider } from './domain/parcel-stream.ts';
import { changesAnnounced } from './metrics.ts';

export interface Announcer extends Running {
  /** There may be changes. */
  wake(): void;
}

interface ChangeRow {
  parcel: string;
  carrier: string;
  trackingNumber: string;
  status: ParcelStatus;
  subStatus: string;
  since: Date | null;
  revision: number;
}

const most = 500;
const concurrency = 64;
/** How long others leave what this process has taken. */
const takenFor = '30 seconds';
const log = logger('tracking-announcer');

/** `everyMs`: how often it looks for what a process that died has left. */
export function startAnnouncer(options: {
  database: Database;
  aggregates: Aggregates;
  ids: IdSource;
  everyMs: number;
}): Announcer {
  const { database, aggregates, ids, everyMs } = options;
  const stopping = new AbortController();
  let woken = new AbortController();

  async function announce(): Promise<number> {
    const rows = await database.query<ChangeRow>({
      name: 'tracking-take-changes',
      text: `UPDATE parcel_changes SET taken_until = now() + interval '${takenFor}' WHERE parcel IN (
          SELECT parcel FROM parcel_changes WHERE taken_until < now() LIMIT ${most} FOR UPDATE SKIP LOCKED)
        RETURNING parcel::text, carrier, tracking_number AS "trackingNumber", status, sub_status AS "subStatus", since, revision`,
    });
    await forEachConcurrent(rows, concurrency, append);
    if (rows.length === 0) return 0;
    // One that has changed again since is left, with its new revision.
    await database.query({
      name: 'tracking-end-changes',
      text: `DELETE FROM parcel_changes c USING unnest($1::uuid[], $2::int4[]) u(parcel, revision)
        WHERE c.parcel = u.parcel AND c.revision = u.revision`,
      values: [uuidArray(rows.map(({ parcel }) => parcel)), int4Array(rows.map(({ revision }) => revision))],
    });
    changesAnnounced.add(rows.length);
    return rows.length;
  }

  async function append({ parcel, since, revision, ...row }: ChangeRow): Promise<void> {
    const change = { ...row, statusTime: since ?? undefined, revision: BigInt(revision) };
    await aggregates.execute({
      decider: parcelDecider,
      id: parcel,
      decide: (state) => changeStatus(state, change),
      reply: () => undefined,
      replyCodec: noReply,
      origin: { actor: 'service:tracking', causationId: parcel, correlationId: ids(), traceparent: '' },
      signal: stopping.signal,
    });
  }

  const running = (async () => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      let rest = everyMs;
      try {
        woken = new AbortController();
        if ((await announce()) > 0) rest = 0;
        failures = 0;
      } catch (error) {
        failures++;
        rest = backoffMs(failures, { firstMs: 200, maxMs: 10_000 });
        if (!stopping.signal.aborted) log.warn({ err: error }, 'changes of status are announced again');
      }
      if (rest > 0) await sleep(rest, AbortSignal.any([stopping.signal, woken.signal]));
    }
  })();

  return {
    wake: () => woken.abort(),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
