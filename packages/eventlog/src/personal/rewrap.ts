/** Wraps the keys of persons anew, once there is another wrapping key: see docs/personal-data.md, Keys. */
import { byteaArray, textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type KeyWrapping, withDeadline } from './wrapping.ts';

const log = logger('eventlog');

export interface RewrapOptions {
  database: Transaction & { transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> };
  domain: string;
  wrapping: KeyWrapping;
  /** Keys of a transaction; 500 if absent. */
  batch?: number;
  signal: AbortSignal;
}

interface Row {
  person: string;
  wrapped: Buffer;
  wrapped_by: string;
}

// Both halves are ranges of the index on (wrapped_by, person). What is wrapped with the current key is in neither.
const half = (range: string) => `(SELECT person, wrapped, wrapped_by FROM person_keys
    WHERE wrapped IS NOT NULL AND ${range} AND (wrapped_by, person) > ($2, $3) ORDER BY wrapped_by, person LIMIT $4)`;
const nextText = `SELECT * FROM (${half('wrapped_by < $1')} UNION ALL ${half('wrapped_by > $1')}) n
  ORDER BY wrapped_by, person LIMIT $4`;
const replaceText = 'SELECT rewrap_person_keys($1::text[], $2::bytea[], $3::bytea[], $4)';

/**
 * Wraps all keys with the current wrapping key that another one has wrapped, a batch a transaction. It may end after any of
 * them, and goes on at the next call. Keys that can't be unwrapped are left and counted in the log. UNAVAILABLE.
 */
export async function rewrapPersonKeys({
  database,
  domain,
  batch = 500,
  signal,
  ...options
}: RewrapOptions): Promise<void> {
  const wrapping = withDeadline(options.wrapping);
  let after = { by: '', person: '' };
  let [done, locked] = [0, 0];
  while (!signal.aborted) {
    const values = [wrapping.current, after.by, after.person, batch];
    const rows = await database.query<Row>({ name: 'person-keys-next', text: nextText, values });
    const last = rows.at(-1);
    if (!last) break;
    after = { by: last.wrapped_by, person: last.person };
    const renewed: { row: Row; wrapped: Uint8Array }[] = [];
    for (const row of rows) {
      const key = await wrapping.unwrap({ wrapped: row.wrapped, by: row.wrapped_by }, row.person);
      if (key) renewed.push({ row, wrapped: await wrapping.wrap(key, row.person) });
      else locked += 1;
    }
    if (renewed.length === 0) continue;
    await database.transaction((tx) =>
      tx.query({
        text: replaceText,
        values: [
          textArray(renewed.map(({ row }) => row.person)),
          byteaArray(renewed.map(({ row }) => row.wrapped)),
          byteaArray(renewed.map(({ wrapped }) => wrapped)),
          wrapping.current,
        ],
      }),
    );
    done += renewed.length;
  }
  if (done > 0) log.info({ domain, keys: done, wrapped_by: wrapping.current }, 'keys of persons were wrapped anew');
  if (locked > 0)
    log.error({ domain, keys: locked }, 'keys of persons were wrapped by a key that CAUDAL_PERSONAL_DATA_KEYS lacks');
}
