/**
 * Full text in PostgreSQL: a column of tokens, and conditions on them as tsquery. Nothing here parses words, so neither
 * the collation of the database nor a text search configuration counts. See docs/search.md.
 */
import type { Statement } from '@caudal/postgres/database.ts';
import type { Analysis } from '../search/analysis.ts';
import type { Level, Match, WordsQuery } from '../search/match.ts';
import { facetOf, facetSize, foundNothing, textKeysOf, wordsQuery } from './full-text.ts';
import {
  column,
  conditions,
  documents,
  orderOf,
  type Parameters,
  parameters,
  quoted,
  type Row,
} from './postgres-sql.ts';
import type { FullTextFind, FullTextFound, Layout } from './store.ts';

type Run = <R>(statement: Statement) => Promise<R[]>;

/** The search of one table. */
export function fullText({ name, layout, analysis }: { name: string; layout: Layout; analysis: Analysis }) {
  const table = quoted(name);

  return {
    /** Statements of `create`, besides the one for the table. */
    createStatements(): string[] {
      if (textKeysOf(layout).length === 0) return [];
      return [`CREATE INDEX IF NOT EXISTS ${quoted(`${name}.words`)} ON ${table} USING gin (words)`];
    },

    async find(find: FullTextFind, run: Run): Promise<FullTextFound> {
      const words = wordsQuery(find, { layout, analysis });
      if (words === 'nothing') return foundNothing(find);
      const [rows, counts] = await Promise.all([
        run<Row & { score: number }>(pageStatement({ table, find, words, layout })),
        run<{ facet: string; value: string; count: number }>(countStatement({ table, find, words, layout })),
      ]);
      const of = (name: string) => counts.filter(({ facet }) => facet === name);
      return {
        hits: documents(rows).map((document, index) => ({ document, score: rows[index]!.score })),
        total: of('')[0]!.count,
        facets: Object.fromEntries(
          find.facets.map((facet) => [facet, facetOf(of(facet).map(({ value, count }) => ({ value, count })))]),
        ),
      };
    },
  };
}

interface Parts {
  table: string;
  find: FullTextFind;
  words: WordsQuery | undefined;
  layout: Layout;
}

/** The conditions of a search, without its place. */
function foundBy({ find, words, layout }: Parts, values: Parameters): string {
  const all = ['NOT deleted', ...conditions(find.where, layout, values)];
  if (words) all.push(`words @@ ${values.add(tsquery({ all: words.words.map(anyLevel) }))}::tsquery`);
  return all.join(' AND ');
}

function pageStatement(parts: Parts): Statement {
  const { table, find, words, layout } = parts;
  const { orderBy, after, limit } = find;
  const values = parameters();
  const where = foundBy(parts, values);
  const columns = 'id, rev, streams, deleted, view';
  if (orderBy.length > 0) {
    const further = after ? ` AND ${values.after({ orderBy, after }, layout)}` : '';
    const text = `SELECT ${columns}, 0::float8 AS score FROM ${table} WHERE ${where}${further}
      ORDER BY ${orderOf(orderBy)} LIMIT ${values.add(limit)}`;
    return { text, values: values.list };
  }
  const further = after
    ? `WHERE score < ${values.add(after.score)}::float8
        OR (score = ${values.add(after.score)}::float8 AND id > ${values.add(after.id)})`
    : '';
  // The views themselves are read only for the page.
  const text = `SELECT ${columns}, score FROM (
      SELECT id, score FROM (
        SELECT id, (${scoreOf(words, values)})::float8 AS score FROM ${table} WHERE ${where}
      ) AS found ${further} ORDER BY score DESC, id LIMIT ${values.add(limit)}
    ) AS page JOIN ${table} USING (id) ORDER BY score DESC, id`;
  return { text, values: values.list };
}

function scoreOf(words: WordsQuery | undefined, values: Parameters): string {
  if (!words) return '0';
  const first = (levels: Level[]) =>
    `CASE ${levels
      .map(
        ({ score, match }) => `WHEN words @@ ${values.add(tsquery(match))}::tsquery THEN ${values.add(score)}::float8`,
      )
      .join(' ')} ELSE 0 END`;
  return [...words.words, ...words.bonus.map((level) => [level])].map(first).join(' + ');
}

/** The total (facet '') and each facet's values, in one statement. */
function countStatement(parts: Parts): Statement {
  const { table, find, layout } = parts;
  const values = parameters();
  const columns = find.facets.map(column);
  const counted = find.facets.map((facet) => {
    const value = layout.keys[facet]!.many ? `unnest(${column(facet)})` : column(facet);
    return `(SELECT '${facet}' AS facet, value, count(*) AS count
      FROM (SELECT ${value} AS value FROM found) AS of_facet
      WHERE value IS NOT NULL GROUP BY value ORDER BY count DESC, value LIMIT ${facetSize + 1})`;
  });
  const total = `(SELECT '' AS facet, '' AS value, count(*) AS count FROM found)`;
  return {
    text: `WITH found AS MATERIALIZED (SELECT ${['id', ...columns].join(', ')} FROM ${table} WHERE ${foundBy(parts, values)})
      ${[total, ...counted].join(' UNION ALL ')}`,
    values: values.list,
  };
}

function anyLevel(levels: Level[]): Match {
  return { any: levels.map(({ match }) => match) };
}

/** The condition in the syntax of tsquery: quoted, a token is taken as it is. */
function tsquery(match: Match): string {
  if ('token' in match) {
    const text = match.token.replaceAll('\\', '\\\\').replaceAll("'", "''");
    return `'${text}'${match.prefix ? ':*' : ''}`;
  }
  const [parts, operator] = 'any' in match ? [match.any, ' | '] : [match.all, ' & '];
  return `(${parts.map(tsquery).join(operator)})`;
}
