/**
 * Views in PostgreSQL: a table for each generation, created with it, with a typed column for each key. See README, How
 * views are written, for the statements, their measurements and what was rejected.
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { contentHash } from '@caudal/kernel/ids.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Database, Statement } from '@caudal/postgres/database.ts';
import { isDataError, sqlState } from '@caudal/postgres/errors.ts';
import { type Analysis, plainAnalysis } from '../search/analysis.ts';
import { plainKeysOf, textKeysOf, tokensOf } from './full-text.ts';
import { boundedConditions } from './keys.ts';
import { packStreams } from './marks.ts';
import { aggregateStatement } from './postgres-aggregate.ts';
import { fullText } from './postgres-search.ts';
import {
  column,
  columnName,
  conditions,
  documents,
  orderOf,
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
const insufficientPrivilege = '42501';
const deadlock = '40P01';
const outOfTime = '57014';

export interface PostgresStoreOptions {
  /** The store may create tables in its schema, and leaves it open. */
  database: Database;
  /** The same schema in a streaming replica, for reads that may be behind; it is left open. */
  replica?: Database | undefined;
  /** How texts are searched. It should be the same in all processes; plainAnalysis if absent. */
  analysis?: Analysis;
}

/** Opens a store over a database. */
export function openPostgresStore({ database, replica, analysis = plainAnalysis }: PostgresStoreOptions): ViewStore {
  return {
    name: 'PostgreSQL',
    searches: true,
    analysis: analysis.fingerprint,
    viewsPerCall: 128,
    confirm: () => confirm(database),
    collection: (name, layout) => collection({ database, replica, analysis }, name, layout),
    async close() {},
  };
}

/** How long a read waits for the standbys that must have what it has read. */
const confirmMs = 2_000;

/**
 * A commit waits until the synchronous standbys (synchronous_standby_names) have all that was committed before it. This one has
 * nothing but a message that nobody reads.
 */
async function confirm(database: Database): Promise<void> {
  const confirmed = database.transaction(async (tx) => {
    await tx.query({ text: 'SET LOCAL synchronous_commit = on' });
    await tx.query({ text: "SELECT pg_logical_emit_message(true, 'caudal.confirm', '')" });
  });
  if (!(await within(confirmMs, confirmed))) {
    // The connection is free again when the standby answers, or at the time-out of its statement.
    confirmed.catch(() => {});
    throw unavailable('The standby of PostgreSQL');
  }
}

type CollectionOptions = Pick<PostgresStoreOptions, 'database' | 'replica'> & { analysis: Analysis };

function collection({ database, replica, analysis }: CollectionOptions, name: string, layout: Layout): Collection {
  const table = quoted(name);
  const search = fullText({ name, layout, analysis });

  /** An error that is neither the document's fault, nor a missing table, nor a wrong statement becomes UNAVAILABLE. */
  async function guarded<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof CaudalError || isDataError(error)) throw error;
      // A process of the version before has made the table, without grants: the next projector that starts makes them.
      if (sqlState(error) === insufficientPrivilege) throw unavailable('PostgreSQL', error);
      if (sqlState(error) === undefinedTable) throw new MissingCollection(name, error);
      // A statement that is wrong in itself (class 42) is a bug and must not look like an outage.
      if (sqlState(error)?.startsWith('42')) throw error;
      throw unavailable('PostgreSQL', error);
    }
  }

  const run = <R>(statement: Statement): Promise<R[]> => guarded(database.query<R>(statement));

  /** Whether the schema is a context's, in which a process need not be allowed to make tables: docs/database-roles.md. */
  async function makesTables(): Promise<boolean> {
    const rows = await run<{ there: boolean }>({ text: "SELECT to_regproc('make_view_table') IS NOT NULL AS there" });
    return rows[0]!.there;
  }

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
    const batch = JSON.stringify(writes.map((write) => rowOf(write, layout, analysis)));
    const statement = writes.every(({ revision }) => revision === 1) ? insert : insertOrUpdate;
    const [answer] = await run<{ landed: string[] | null }>({ ...statement, values: [batch, writes.length] });
    const landed = answer!.landed && new Set(answer!.landed);
    return { lost: landed ? writes.filter(({ id }) => !landed.has(id)).map(({ id }) => id) : [], refused: [] };
  }

  return {
    async create() {
      if (await makesTables()) {
        await run({ text: 'SELECT make_view_table($1, $2, $3)', values: [name, ...madeOf(layout)] });
        return;
      }
      for (const text of [...createStatements(name, layout), ...search.createStatements()]) {
        await run({ text }).catch((error: unknown) => {
          // Two processes create at the same time: "IF NOT EXISTS" does not prevent that race.
          if (!['23505', '42P07', '42710'].includes(sqlState(error) ?? '')) throw error;
        });
      }
    },
    async drop() {
      await run(
        (await makesTables())
          ? { text: 'SELECT drop_view_table($1)', values: [name] }
          : { text: `DROP TABLE IF EXISTS ${table}` },
      );
    },
    async load(ids) {
      return documents(await run<Row>({ ...load, values: [ids] }));
    },
    ...(replica && {
      async loadNearest(ids: string[]) {
        try {
          return documents(await replica.query<Row>({ ...load, values: [ids] }));
        } catch {
          // It is away, or has not got the table yet.
          return documents(await run<Row>({ ...load, values: [ids] }));
        }
      },
    }),
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
        ORDER BY ${orderOf(find.orderBy)} LIMIT ${values.add(find.limit)}`;
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
    search: (find) => costed(search.find(find, database)),
  };
}

function createStatements(name: string, layout: Layout): string[] {
  const columns = plainKeysOf(layout).map((key) => `${column(key)} ${typeOf(layout.keys[key]!)}`);
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
      ...(textKeysOf(layout).length > 0 ? ['words tsvector'] : []),
    ].join(', ')})`,
    ...indexes,
  ];
}

/** The same for make_view_table(): the columns beside those of every table, and the indexes. */
function madeOf(layout: Layout): [keys: string, indexes: string] {
  const words = textKeysOf(layout).length > 0;
  const keys = plainKeysOf(layout).map((key) => ({ name: columnName(key), type: typeOf(layout.keys[key]!) }));
  const indexes = layout.indexes.map((of) => ({
    kind: layout.keys[of[0]!]!.many ? 'many' : 'ordered',
    columns: (layout.keys[of[0]!]!.many ? of.slice(0, 1) : of).map(columnName),
  }));
  return [
    JSON.stringify(words ? [...keys, { name: 'words', type: 'tsvector' }] : keys),
    JSON.stringify(words ? [...indexes, { kind: 'words', columns: ['words'] }] : indexes),
  ];
}

/** A statement that a connection parses once. */
function prepared(text: string): Statement {
  return { name: `views-${contentHash(Buffer.from(text)).toString('hex')}`, text };
}

/** The columns, and how a new row and a changed one get each from the batch. */
function columnsOf(layout: Layout): { names: string[]; inserted: string[]; updated: string[] } {
  const names = ['id', 'rev', 'streams', 'deleted', 'view', ...plainKeysOf(layout).map(column)];
  const given = names.map((name) => `batch.${name}`);
  if (textKeysOf(layout).length === 0) return { names, inserted: given, updated: given };
  const words = 'array_to_tsvector(batch.words)';
  return {
    names: [...names, 'words'],
    inserted: [...given, words],
    // Tokens that stay are neither sent nor written again, and need no new entries in the index.
    updated: [...given, `CASE WHEN batch.same_words THEN t.words ELSE ${words} END`],
  };
}

/** The rows of a batch, from its JSON. */
function recordset(layout: Layout): string {
  const keys = plainKeysOf(layout).map((key) => `${column(key)} ${typeOf(layout.keys[key]!)}`);
  const words = textKeysOf(layout).length > 0 ? ['words text[]', 'same_words boolean'] : [];
  const record = [
    'id text COLLATE "C"',
    'rev integer',
    'streams jsonb',
    'deleted boolean',
    'view jsonb',
    ...keys,
    ...words,
  ];
  return `jsonb_to_recordset($1::jsonb) AS batch (${record.join(', ')})`;
}

/** The ids that have landed, or null if all $2 have, which is usual: that saves one row of the answer for each view. */
function landed(from: string): string {
  return `SELECT CASE WHEN count(*) = $2::int THEN NULL ELSE coalesce(array_agg(id), '{}') END AS landed FROM ${from}`;
}

/** Inserts those that are not there. */
function insertStatement(table: string, layout: Layout): string {
  const { names, inserted } = columnsOf(layout);
  return `WITH inserted AS (
      INSERT INTO ${table} (${names.join(', ')}) SELECT ${inserted.join(', ')} FROM ${recordset(layout)}
      ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id
    ) ${landed('inserted')}`;
}

function saveStatement(table: string, layout: Layout): string {
  const { names, inserted, updated } = columnsOf(layout);
  return `WITH batch AS MATERIALIZED (
      SELECT * FROM ${recordset(layout)}
    ), locked AS MATERIALIZED (
      SELECT t.id FROM ${table} AS t JOIN batch USING (id)
      WHERE batch.rev > 1 AND t.rev = batch.rev - 1 ORDER BY t.id FOR UPDATE OF t
    ), updated AS (
      UPDATE ${table} AS t SET ${names
        .map((name, place) => `${name} = ${updated[place]}`)
        .slice(1)
        .join(', ')}
      FROM batch JOIN locked USING (id) WHERE t.id = batch.id AND t.rev = batch.rev - 1 RETURNING t.id
    ), inserted AS (
      INSERT INTO ${table} (${names.join(', ')})
      SELECT ${inserted.join(', ')} FROM batch WHERE rev = 1 ORDER BY id
      ON CONFLICT (id) DO NOTHING RETURNING id
    ) ${landed('(SELECT id FROM updated UNION ALL SELECT id FROM inserted) AS written')}`;
}

/** The row as jsonb_to_recordset reads it. int8 goes as text: JavaScript's numbers would round it. */
function rowOf(write: Write, layout: Layout, analysis: Analysis): Record<string, unknown> {
  const { id, revision, view, keys } = write;
  const streams = packStreams(write);
  const json = (value: TypedKey) => (typeof value === 'bigint' ? value.toString() : value);
  const row: Record<string, unknown> = { id, rev: revision, streams, deleted: view === undefined, view: view ?? null };
  for (const key of plainKeysOf(layout)) {
    const value = view === undefined ? null : (keys[key] ?? null);
    row[`k_${key}`] = Array.isArray(value) ? value.map(json) : json(value);
  }
  if (view === undefined || textKeysOf(layout).length === 0) return row;
  if (write.sameTexts) row.same_words = true;
  else row.words = tokensOf(write, layout, analysis);
  return row;
}

function whereOf(find: Find, layout: Layout, values: Parameters): string {
  const { orderBy, after } = find;
  const all = ['NOT deleted', ...conditions(boundedConditions(find), layout, values)];
  if (after) all.push(values.after({ orderBy, after }, layout));
  return all.join(' AND ');
}
