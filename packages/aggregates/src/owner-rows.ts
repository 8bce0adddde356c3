/** The rows of `stream_owners`: who owns a contended stream, by the database's clock. See docs/owners.md. */
import type { Instance } from '@caudal/kernel/forward.ts';
import { textArray } from '@caudal/postgres/arrays.ts';
import type { Database } from '@caudal/postgres/database.ts';

/** A process as an owner. */
export interface Self extends Instance {
  /** A hash of its version and contract. */
  contract: string;
}

/** Who owns a stream. */
export interface Owner extends Self {
  leftMs: number;
}

export interface OwnerRows {
  /**
   * Claims the stream, or returns its owner. If another process changes the row at the same moment, this returns undefined, or the
   * owner before that. `gone`: instances whose rows may be taken over before they end.
   */
  claim(stream: string, gone: string[]): Promise<Owner | undefined>;
  /** The owner of a stream, if it has one. */
  find(stream: string): Promise<Owner | undefined>;
  /** Those that are still owned, for the whole time again. */
  renew(streams: string[]): Promise<Set<string>>;
  release(streams: string[]): Promise<void>;
  /** Deletes rows that ended a while ago: what crashes have left. */
  sweep(): Promise<void>;
}

const columns = 'instance, address, contract, extract(epoch FROM until - clock_timestamp())::float8 * 1000 AS left_ms';
const lease = "$5 * interval '1 millisecond'";

// A row that ends too late was written before the server's clock was set back.
const claimText = `WITH mine AS (
    INSERT INTO stream_owners AS o (stream, instance, address, contract, until)
    VALUES ($1, $2, $3, $4, clock_timestamp() + ${lease})
    ON CONFLICT (stream) DO UPDATE
      SET instance = excluded.instance, address = excluded.address, contract = excluded.contract, until = excluded.until
      WHERE o.until < clock_timestamp() OR o.until > clock_timestamp() + 2 * ${lease}
        OR o.instance = excluded.instance OR o.instance = ANY($6::text[])
    RETURNING ${columns})
  SELECT * FROM mine
  UNION ALL SELECT ${columns} FROM stream_owners WHERE stream = $1 AND NOT EXISTS (SELECT FROM mine)`;

type Row = Self & { left_ms: number };

export function ownerRows(database: Database, { address, instance, contract }: Self, leaseMs: number): OwnerRows {
  const ownerOf = (row: Row | undefined): Owner | undefined =>
    row && {
      address: row.address,
      instance: row.instance,
      contract: row.contract,
      leftMs: Math.min(row.left_ms, leaseMs),
    };
  return {
    async claim(stream, gone) {
      const values = [stream, instance, address, contract, leaseMs, textArray(gone)];
      const [row] = await database.query<Row>({ name: 'aggregates-claim-stream', text: claimText, values });
      return ownerOf(row);
    },
    async find(stream) {
      const text = `SELECT ${columns} FROM stream_owners WHERE stream = $1`;
      const [row] = await database.query<Row>({ name: 'aggregates-find-owner', text, values: [stream] });
      return ownerOf(row);
    },
    async renew(streams) {
      const rows = await database.query<{ stream: string }>({
        name: 'aggregates-renew-streams',
        text: `UPDATE stream_owners SET until = clock_timestamp() + $3 * interval '1 millisecond'
          WHERE stream = ANY($2::text[]) AND instance = $1 RETURNING stream`,
        values: [instance, textArray(streams), leaseMs],
      });
      return new Set(rows.map(({ stream }) => stream));
    },
    async release(streams) {
      await database.query({
        name: 'aggregates-release-streams',
        text: 'DELETE FROM stream_owners WHERE stream = ANY($2::text[]) AND instance = $1',
        values: [instance, textArray(streams)],
      });
    },
    async sweep() {
      await database.query({
        name: 'aggregates-sweep-owners',
        // Rows that another process changes at the moment are not waited for.
        text: `DELETE FROM stream_owners WHERE stream IN (
          SELECT stream FROM stream_owners WHERE until < clock_timestamp() - interval '1 minute'
          LIMIT 100 FOR UPDATE SKIP LOCKED)`,
      });
    },
  };
}
