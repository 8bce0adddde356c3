/**
 * Views in PostgreSQL: a table for each generation, created with it, with a typed column for each key. See README, How
 * views are written, for the statements, their measurements and what was rejected.
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { contentHash } from '@caudal/kernel/ids.ts';
import type { Database, Statement } from '@caudal/postgres/database.ts';
import { isDataError, sqlState } from '@caudal/postgres/errors.ts';
import { boundedConditions, totalOrder } from './keys.ts';
import { packStreams } from './marks.ts';
import { aggregateStatement } from './postgres-aggregate.ts';
import { fullText } from './postgres-search.ts';
import {
  column,
  conditions,
  documents,
  type Parameters,
  parameters,
  quoted,
  type Row,
  typeOf,
} from './postgres-sql.ts';
import {
  type Collection,
  type Find,
  type Layout,
  MissingCollection,
  type SaveResult,
  saveSingly,
  type TypedKey,
  tooCostly,
  type ViewStore,
  type Write,
} from './store.ts';

const undefinedTable = '42P01';
const deadlock = '40P01';
const outOfTime = '57014';

/** Opens a store over a database in whose schema it may create tables. `close` leaves the database open. */
export function openPostgresStore({ database }: { database: Database }): ViewStore {
  return {
    name: 'PostgreSQL',
    searches: true,
    viewsPerCall: 128,
    collection: (name, layout) => collection(database, name, layout),
    async close() {},
  };
}

function collection(database: Database, name: string, layout: Layout): Collection {
  const table = quoted(name);
  const search = fullText({ name, layout });

  /** An error that is neither the document's fault, nor a missing table, nor a wrong statement becomes UNAVAILABLE. */
  async function guarded<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof CaudalError || isDataError(error)) throw error;
      if (sqlState(error) === undefinedTable) throw new MissingCollection(name, error);
      // A statement that is wrong in itself (class 42) is a bug and must not look like an outage.
      if (sqlState(error)?.startsWith('42')) throw error;
      throw unavailable('PostgreSQL', error);
    }
  }

  const run = <R>(statement: Statement): Promise<R[]> => guarded(database.query<R>(statement));

  /** A time-out becomes QUERY_TOO_COSTLY; other errors as in `guarded`. */
  async function costed<T>(call: Promise<T>): Promise<T> {
    return guarded(call).catch((error: unknown) => {
      throw sqlState(error) === outOfTime ? tooCostly('PostgreSQL', error) : error;
    });
  }

  const insert = prepared(insertStatement(table, layout));
  const load = prepared(`SELECT id, rev, streams, deleted, view FROM ${table} WHERE id = ANY($1::text[])`);
  const insertOrUpdate = { text: saveStatement(table, layout) };
  async function save(writes: Write[]): Promise<SaveResult> {
    const batch = JSON.stringify(writes.map((write) => rowOf(write, layout)));
    const statement = writes.every(({ revision }) => revision === 1) ? insert : insertOrUpdate;
    const [answer] = await run<{ landed: string[] | null }>({ ...statement, values: [batch, writes.length] });
    const landed = answer!.landed && new Set(answer!.landed);
    return { lost: landed ? writes.filter(({ id }) => !landed.has(id)).map(({ id }) => id) : [], refused: [] };
  }

  return {
    async create() {
      for (const text of [...createStatements(name, layout), ...(await search.createStatements(run))]) {
        await run({ text }).catch((error: unknown) => {
          // Two processes create at the same time: "IF NOT EXISTS" does not prevent that race.
          if (!['23505', '42P07', '42710'].includes(sqlState(error) ?? '')) throw error;
        });
      }
    },
    async drop() {
      await run({ text: `DROP TABLE IF EXISTS ${table}` });
    },
    async load(ids) {
      return documents(await run<Row>({ ...load, values: [ids] }));
    },
    async save(writes) {
      if (writes.length === 0) return { lost: [], refused: [] };
      for (let attempt = 1; ; attempt++) {
        try {
          return await save(writes);
        } catch (error) {
          if (isDataError(error)) return saveSingly(writes, (write) => save([write]), isDataError);
          if (attempt === 3 || sqlState((error as Error).cause) !== deadlock) throw error;
        }
      }
    },
    async find(find) {
      const values = parameters();
      const text = `SELECT id, rev, streams, deleted, view FROM ${table}
        WHERE ${whereOf(find, layout, values)}
        ORDER BY ${orderOf(find)} LIMIT ${values.add(find.limit)}`;
      return documents(await costed(database.query<Row>({ text, values: values.list })));
    },
    async count(where) {
      const values = parameters();
      const text = `SELECT count(*) AS count FROM ${table} WHERE ${['NOT deleted', ...conditions(where, layout, values)].join(' AND ')}`;
      return (await costed(database.query<{ count: number }>({ text, values: values.list })))[0]!.count;
    },
    async aggregate(aggregation) {
      const { statement, rows } = aggregateStatement(table, layout, aggregation);
      const timeout = { text: "SELECT set_config('statement_timeout', $1, true)", values: [String(aggregation.maxMs)] };
      const work = database.transaction(async (tx) => {
        await tx.query(timeout);
        return tx.query<Record<string, string | boolean | Date | null>>(statement);
      });
      return rows(await costed(work));
    },
    async scan({ afterId, limit }) {
      return documents(
        await run<Row>({
          text: `SELECT id, rev, streams, deleted, view FROM ${table}
            WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2`,
          values: [afterId ?? null, limit],
        }),
      );
    },
    async refresh() {},
    search: (find) => search.find(find, run),
  };
}

function createStatements(name: string, layout: Layout): string[] {
  const columns = Object.entries(layout.keys).map(([key, kind]) => `${column(key)} ${typeOf(kind)}`);
  const indexes = layout.indexes.map((keys, place) => {
    const index = quoted(`${name}.${place}`);
    if (layout.keys[keys[0]!]!.many)
      return `CREATE INDEX IF NOT EXISTS ${index} ON ${quoted(name)} USING gin (${column(keys[0]!)})`;
    const parts = [...keys.map((key) => `${column(key)} NULLS FIRST`), 'id'];
    return `CREATE INDEX IF NOT EXISTS ${index} ON ${quoted(name)} (${parts.join(', ')})`;
  });
  return [
    `CREATE TABLE IF NOT EXISTS ${quoted(name)} (${[
      'id text COLLATE "C" PRIMARY KEY',
      'rev integer NOT NULL',
      'streams jsonb NOT NULL',
      'deleted boolean NOT NULL',
      'view jsonb',
      ...columns,
    ].join(', ')})`,
    ...indexes,
  ];
}

/** A statement that a connection parses once. */
function prepared(text: string): Statement {
  return { name: `views-${contentHash(Buffer.from(text)).toString('hex')}`, text };
}

function columnsOf(layout: Layout): string[] {
  return ['id', 'rev', 'streams', 'deleted', 'view', ...Object.keys(layout.keys).map(column)];
}

/** The rows of a batch, from its JSON. */
function recordset(layout: Layout): string {
  const keys = Object.entries(layout.keys).map(([key, kind]) => `${column(key)} ${typeOf(kind)}`);
  const record = ['id text COLLATE "C"', 'rev integer', 'streams jsonb', 'deleted boolean', 'view jsonb', ...keys];
  return `jsonb_to_recordset($1::jsonb) AS batch (${record.join(', ')})`;
}

/** The ids that have landed, or null if all $2 have, which is usual: that saves one row of the answer for each view. */
function landed(from: string): string {
  return `SELECT CASE WHEN count(*) = $2::int THEN NULL ELSE coalesce(array_agg(id), '{}') END AS landed FROM ${from}`;
}

/** Inserts those that are not there. */
function insertStatement(table: string, layout: Layout): string {
  const columns = columnsOf(layout).join(', ');
  return `WITH inserted AS (
      INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${recordset(layout)}
      ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id
    ) ${landed('inserted')}`;
}

function saveStatement(table: string, layout: Layout): string {
  const columns = columnsOf(layout);
  return `WITH batch AS MATERIALIZED (
      SELECT * FROM ${recordset(layout)}
    ), locked AS MATERIALIZED (
      SELECT t.id FROM ${table} AS t JOIN batch USING (id)
      WHERE batch.rev > 1 AND t.rev = batch.rev - 1 ORDER BY t.id FOR UPDATE OF t
    ), updated AS (
      UPDATE ${table} AS t SET ${columns
        .slice(1)
        .map((name) => `${name} = batch.${name}`)
        .join(', ')}
      FROM batch JOIN locked USING (id) WHERE t.id = batch.id AND t.rev = batch.rev - 1 RETURNING t.id
    ), inserted AS (
      INSERT INTO ${table} (${columns.join(', ')})
      SELECT ${columns.join(', ')} FROM batch WHERE rev = 1 ORDER BY id
      ON CONFLICT (id) DO NOTHING RETURNING id
    ) ${landed('(SELECT id FROM updated UNION ALL SELECT id FROM inserted) AS written')}`;
}

/** The row as jsonb_to_recordset reads it. int8 goes as text: JavaScript's numbers would round it. */
function rowOf(write: Write, layout: Layout): Record<string, unknown> {
  const { id, revision, view, keys } = write;
  const streams = packStreams(write);
  const json = (value: TypedKey) => (typeof value === 'bigint' ? value.toString() : value);
  const row: Record<string, unknown> = { id, rev: revision, streams, deleted: view === undefined, view: view ?? null };
  for (const key of Object.keys(layout.keys)) {
    const value = view === undefined ? null : (keys[key] ?? null);
    row[`k_${key}`] = Array.isArray(value) ? value.map(json) : json(value);
  }
  return row;
}

/** As the indexes have it. Ids are never null, and NULLS FIRST would be another order than that of their index. */
function orderOf({ orderBy }: Find): string {
  return totalOrder(orderBy)
    .map(({ key, descending }) => {
      if (key === undefined) return descending ? 'id DESC' : 'id';
      return `${column(key)} ${descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'}`;
    })
    .join(', ');
}

function whereOf(find: Find, layout: Layout, values: Parameters): string {
  const { orderBy, after } = find;
  const all = ['NOT deleted', ...conditions(boundedConditions(find), layout, values)];
  if (after) all.push(values.after({ orderBy, after }, layout));
  return all.join(' AND ');
}
