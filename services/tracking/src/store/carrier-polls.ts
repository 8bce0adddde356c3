/** When carriers are asked for parcels: the table `carrier_polls`. */
import type { JobTools } from '@caudal/context/context.ts';
import { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { failingDays, firstPoll, type PollState, silentDays } from '../carriers/poll-plan.ts';
import type { PollStore } from '../carriers/poll-runner.ts';
import { parcelId } from '../domain/parcel-id.ts';

/** Commits only while the run holds its lease. */
type GuardedDatabase = Pick<JobTools<never>['database'], 'transaction'>;

interface Row {
  trackingNumber: string;
  nextAt: Date;
  newsAt: Date;
  quiet: number;
  failures: number;
  said: string | null;
}

/** Not `done`: a parcel whose label was voided may be sent all the same, and only its carrier knows. */
const ends = `(${ParcelStatus.PARCEL_STATUS_DELIVERED}, ${ParcelStatus.PARCEL_STATUS_RETURNED})`;

/** Asks for the parcel from now on, if it has this shipment and has not arrived. One that is asked for already stays as it is. */
export async function beginPolls(
  tx: Transaction,
  { parcel, shipmentId, now }: { parcel: string; shipmentId: string; now: Date },
): Promise<void> {
  const { nextAt, newsAt } = firstPoll(now.getTime());
  await tx.query({
    text: `INSERT INTO carrier_polls (parcel, carrier, tracking_number, next_at, news_at)
      SELECT parcel, carrier_key, regexp_replace(tracking_number, '\\s', '', 'g'), $3::timestamptz, $4::timestamptz
      FROM parcels WHERE parcel = $1 AND shipment = $2 AND status NOT IN ${ends} ON CONFLICT DO NOTHING`,
    values: [parcel, shipmentId, new Date(nextAt), new Date(newsAt)],
  });
}

/** The store of a run of the job. What was said by others meanwhile counts: nobody is asked for a parcel that has arrived. */
export function pollStore(database: GuardedDatabase): PollStore {
  return {
    due: ({ carrier, now, limit }) =>
      database.transaction(async (tx) => {
        await tx.query({
          name: 'tracking-end-polls',
          text: `DELETE FROM carrier_polls c USING parcels p
            WHERE c.carrier = $1 AND c.next_at <= $2 AND p.parcel = c.parcel AND (p.status IN ${ends} OR p.shipment IS NULL)`,
          values: [carrier, new Date(now)],
        });
        const rows = await tx.query<Row>({
          name: 'tracking-due-polls',
          text: `SELECT tracking_number AS "trackingNumber", next_at AS "nextAt", news_at AS "newsAt", quiet, failures, said
            FROM carrier_polls WHERE carrier = $1 AND next_at <= $2 ORDER BY next_at LIMIT $3`,
          values: [carrier, new Date(now), limit],
        });
        return rows.map(({ trackingNumber, ...row }) => ({ trackingNumber, state: stateOf(row) }));
      }),

    async save({ carrier, trackingNumber, state }) {
      const parcel = parcelId(carrier, trackingNumber);
      await database.transaction(async (tx) => {
        await tx.query(state ? changed(parcel, state) : ended(parcel));
      });
    },

    async pause({ carrier, until }) {
      await database.transaction(async (tx) => {
        await tx.query({
          name: 'tracking-pause-polls',
          text: 'UPDATE carrier_polls SET next_at = $2 WHERE carrier = $1 AND next_at < $2',
          values: [carrier, new Date(until)],
        });
      });
    },
  };
}

const stateOf = ({ nextAt, newsAt, quiet, failures, said }: Omit<Row, 'trackingNumber'>): PollState => ({
  nextAt: nextAt.getTime(),
  newsAt: newsAt.getTime(),
  ...{ quiet, failures },
  ...(said !== null && { said }),
});

const changed = (parcel: string, { nextAt, newsAt, quiet, failures, said }: PollState) => ({
  name: 'tracking-next-poll',
  text: `UPDATE carrier_polls SET next_at = $2, news_at = $3, quiet = $4, failures = $5, said = $6 WHERE parcel = $1`,
  values: [parcel, new Date(nextAt), new Date(newsAt), quiet, failures, said ?? null],
});

const ended = (parcel: string) => ({
  name: 'tracking-last-poll',
  text: 'DELETE FROM carrier_polls WHERE parcel = $1',
  values: [parcel],
});

/** Deletes what nobody will ask for: of carriers that are not asked any more after 30 silent days, and of all after 90. */
export async function forgetPolls(database: GuardedDatabase, carriers: string[]): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query({
      text: `DELETE FROM carrier_polls WHERE news_at < clock_timestamp() - make_interval(days => $2)
        OR (carrier <> ALL ($1::text[]) AND news_at < clock_timestamp() - make_interval(days => $3))`,
      values: [carriers, failingDays, silentDays],
    });
  });
}
