/**
 * Full text in PostgreSQL, for systems without Elasticsearch. Every word must be the beginning of a word in one of the
 * fields; with the extension pg_trgm similar words match too. Ranked by ts_rank and the fields' weights.
 */
import type { Statement } from '@caudal/postgres/database.ts';
import { column, conditions, documents, parameters, quoted, type Row } from './postgres-sql.ts';
import type { FullTextFind, FullTextFound, Layout } from './store.ts';
import { wordsOf } from './words.ts';

type Run = <R>(statement: Statement) => Promise<R[]>;

const facetSize = 20;

/** The search of one table. */
export function fullText({ name, layout }: { name: string; layout: Layout }) {
  const table = quoted(name);
  const textKeys = Object.keys(layout.keys).filter((key) => layout.keys[key]!.type === 'text');
  let trigrams: Promise<string | undefined> | undefined;

  /** The schema that pg_trgm is installed in, quoted; undefined without it. Queried once, or again after a failure. */
  function trigramSchema(run: Run): Promise<string | undefined> {
    trigrams ??= run<{ schema: string }>({
      text: `SELECT n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_trgm'`,
    }).then(
      ([row]) => row && quoted(row.schema),
      (error) => {
        trigrams = undefined;
        throw error;
      },
    );
    return trigrams;
  }

  return {
    /** Statements of `create`, besides the one for the table. */
    async createStatements(run: Run): Promise<string[]> {
      if (textKeys.length === 0) return [];
      const statements = [
        `ALTER TABLE ${table} ADD COLUMN IF NOT EXISTS words tsvector
          GENERATED ALWAYS AS (to_tsvector('simple', ${joined(textKeys)})) STORED`,
        `CREATE INDEX IF NOT EXISTS ${quoted(`${name}.words`)} ON ${table} USING gin (words)`,
      ];
      const trgm = await trigramSchema(run);
      if (trgm)
        statements.push(
          `CREATE INDEX IF NOT EXISTS ${quoted(`${name}.trgm`)} ON ${table} USING gin ((${joined(textKeys)}) ${trgm}.gin_trgm_ops)`,
        );
      return statements;
    },

    async find(find: FullTextFind, run: Run): Promise<FullTextFound> {
      const words = wordsOf(find.text);
      const trgm = words.length > 0 ? await trigramSchema(run) : undefined;
      const values = parameters();
      const found = foundBy(find, { words, trgm, textKeys, layout, values });
      const where = found.join(' AND ');
      const countValues = [...values.list];
      const counted = run<{ facet: string; value: string; count: number }>({
        text: countStatement({ table, where, facets: find.facets, layout }),
        values: countValues,
      });
      const score = scoreOf(find, { words, trgm, values });
      const after = find.after
        ? `WHERE score < ${values.add(find.after.score)}::float8
            OR (score = ${values.add(find.after.score)}::float8 AND id > ${values.add(find.after.id)})`
        : '';
      const page = run<Row & { score: number }>({
        text: `SELECT * FROM (
            SELECT id, rev, streams, deleted, view, (${score})::float8 AS score FROM ${table} WHERE ${where}
          ) AS found ${after} ORDER BY score DESC, id LIMIT ${values.add(find.limit)}`,
        values: values.list,
      });
      const [rows, counts] = await Promise.all([page, counted]);
      const hits = documents(rows).map((document, index) => ({ document, score: rows[index]!.score }));
      const facets: FullTextFound['facets'] = Object.fromEntries(find.facets.map((facet) => [facet, []]));
      let total = 0;
      for (const { facet, value, count } of counts) {
        if (facet === '') total = count;
        else facets[facet]!.push({ value, count });
      }
      return { hits, total, facets };
    },
  };
}

function joined(keys: string[]): string {
  return keys.map((key) => `coalesce(${column(key)}, '')`).join(` || ' ' || `);
}

interface Words {
  words: string[];
  trgm: string | undefined;
  values: ReturnType<typeof parameters>;
}

/** The conditions of a search. The indexes cover all text keys; if fewer are searched, these are checked as well. */
function foundBy(
  { fields, where }: FullTextFind,
  { words, trgm, textKeys, layout, values }: Words & { textKeys: string[]; layout: Layout },
): string[] {
  const some = textKeys.filter((key) => key in fields);
  const all = ['NOT deleted', ...conditions(where, layout, values)];
  for (const word of words) {
    const query = `to_tsquery('simple', ${values.add(`${word}:*`)})`;
    const plain = trgm && values.add(word);
    const like = (expression: string) => (plain ? ` OR ${plain}::text OPERATOR(${trgm}.<<%) (${expression})` : '');
    all.push(`(words @@ ${query}${like(joined(textKeys))})`);
    if (some.length < textKeys.length)
      all.push(`(to_tsvector('simple', ${joined(some)}) @@ ${query}${like(joined(some))})`);
  }
  return all;
}

function scoreOf({ fields }: FullTextFind, { words, trgm, values }: Words): string {
  if (words.length === 0) return '1';
  const query = `to_tsquery('simple', ${values.add(words.map((word) => `${word}:*`).join(' | '))})`;
  const plain = trgm && values.add(words.join(' '));
  return Object.entries(fields)
    .map(([key, weight]) => {
      const text = `coalesce(${column(key)}, '')`;
      const like = plain ? ` + ${trgm}.word_similarity(${plain}::text, ${text})` : '';
      return `${values.add(weight)}::float8 * (ts_rank(to_tsvector('simple', ${text}), ${query})${like})`;
    })
    .join(' + ');
}

/** The total (facet '') and each facet's values, in one statement. */
function countStatement(options: { table: string; where: string; facets: string[]; layout: Layout }): string {
  const { table, where, facets, layout } = options;
  const parts = facets.map((facet) => {
    const value = layout.keys[facet]!.many ? `unnest(${column(facet)})` : column(facet);
    return `(SELECT '${facet}' AS facet, value, count(*) AS count
      FROM (SELECT ${value} AS value FROM ${table} WHERE ${where}) AS of_facet
      WHERE value IS NOT NULL GROUP BY value ORDER BY count DESC, value LIMIT ${facetSize})`;
  });
  return [`(SELECT '' AS facet, '' AS value, count(*) AS count FROM ${table} WHERE ${where})`, ...parts].join(
    ' UNION ALL ',
  );
}
