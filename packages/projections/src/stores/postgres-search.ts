/**
 * Full text in PostgreSQL: a column of tokens, and conditions on them as tsquery. Nothing here parses words, so neither
 * the collation of the database nor a text search configuration counts. See docs/search.md.
 */
import type { Database, Statement } from '@caudal/postgres/database.ts';
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
import { type FullTextFind, type FullTextFound, type Layout, tooCostly } from './store.ts';

/** The search of one table. */
export function fullText({ name, layout, analysis }: { name: string; layout: Layout; analysis: Analysis }) {
  const table = quoted(name);

  return {
    /** Statements of `create`, besides the one for the table. */
    createStatements(): string[] {
      if (textKeysOf(layout).length === 0) return [];
      // Every search reads the whole list of pending entries, of which PostgreSQL allows 4 MB if nothing else is said.
      const index = `${quoted(`${name}.words`)} ON ${table} USING gin (words) WITH (gin_pending_list_limit = 1024)`;
      return [`CREATE INDEX IF NOT EXISTS ${index}`];
    },

    async find(find: FullTextFind, database: Database): Promise<FullTextFound> {
      const words = wordsQuery(find, { layout, analysis });
      if (words === 'nothing') return foundNothing(find);
      const parts = { table, find, words, layout };
      const until = performance.now() + find.maxMs;
      const [rows, counts] = await database.transaction(async (tx) => {
        /** Each statement gets the time that those before it have left. */
        const query = async <R>(statement: Statement): Promise<R[]> => {
          await tx.query(settings(words, until - performance.now()));
          return tx.query<R>(statement);
        };
        return [
          find.limit > 0 ? await query<Row & { score: number }>(pageStatement(parts)) : [],
          await query<{ facet: string; value: string; count: number }>(countStatement(parts)),
        ];
      });
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

/**
 * Every alternative of a word adds to the number of rows that the planner expects, so that it would soon read the whole
 * table, and decompress all tokens, where the index takes a hundredth of the time.
 */
function settings(words: WordsQuery | undefined, leftMs: number): Statement {
  if (leftMs <= 0) throw tooCostly('PostgreSQL');
  return {
    text: `SELECT set_config('statement_timeout', $1, true), set_config('enable_seqscan', $2, true)`,
    values: [String(Math.ceil(leftMs)), words ? 'off' : 'on'],
  };
}

/** The views that a search finds, with some of their columns. The words are looked up first: they have the index. */
function foundIn({ table, find, words, layout }: Parts, columns: string[], values: Parameters): string {
  const where = ['NOT deleted', ...conditions(find.where, layout, values)].join(' AND ');
  if (!words) return `(SELECT ${columns.join(', ')} FROM ${table} WHERE ${where}) AS found`;
  const condition = tsquery({ all: words.words.map(anyLevel) });
  return `(SELECT ${columns.join(', ')} FROM (
      SELECT * FROM ${table} WHERE words @@ ${values.add(condition)}::tsquery OFFSET 0
    ) AS worded WHERE ${where}) AS found`;
}

function pageStatement(parts: Parts): Statement {
  const { table, find, words, layout } = parts;
  const { orderBy, after, limit } = find;
  const values = parameters();
  const keys = orderBy.map(({ key }) => column(key));
  // Each condition of a score would read and decompress the tokens again: strip makes one copy of them, which OFFSET
  // keeps from being made again.
  const scored = () =>
    words
      ? `SELECT id, (${scoreOf(words, values)})::float8 AS score
          FROM (SELECT * FROM ${foundIn(parts, ['id', 'strip(words) AS words'], values)} OFFSET 0) AS matching`
      : `SELECT id, 0::float8 AS score FROM ${foundIn(parts, ['id'], values)}`;
  const ranked = () => {
    const further = after
      ? `WHERE score < ${values.add(after.score)}::float8
          OR (score = ${values.add(after.score)}::float8 AND id > ${values.add(after.id)})`
      : '';
    return `SELECT id, score FROM (${scored()}) AS scored ${further} ORDER BY score DESC, id`;
  };
  const ordered = () => {
    const found = foundIn(parts, ['id', ...new Set(keys)], values);
    const further = after ? `WHERE ${values.after({ orderBy, after }, layout)}` : '';
    return `SELECT *, 0::float8 AS score FROM ${found} ${further} ORDER BY ${orderOf(orderBy)}`;
  };
  const [inner, order] = orderBy.length > 0 ? [ordered(), orderOf(orderBy)] : [ranked(), 'score DESC, id'];
  // The views themselves are read only for the page.
  const text = `SELECT id, rev, streams, deleted, view, score FROM (${inner} LIMIT ${values.add(limit)}) AS page
      JOIN (SELECT id, rev, streams, deleted, view FROM ${table}) AS views USING (id) ORDER BY ${order}`;
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
  return [...words.words, words.bonus]
    .filter((levels) => levels.length > 0)
    .map(first)
    .join(' + ');
}

/** The total (facet '') and each facet's values, in one statement. */
function countStatement(parts: Parts): Statement {
  const { find, layout } = parts;
  const values = parameters();
  const counted = find.facets.map((facet) => {
    const value = layout.keys[facet]!.many ? `unnest(${column(facet)})` : column(facet);
    return `(SELECT '${facet}' AS facet, value, count(*) AS count
      FROM (SELECT ${value} AS value FROM counted) AS of_facet
      WHERE value IS NOT NULL GROUP BY value ORDER BY count DESC, value LIMIT ${facetSize + 1})`;
  });
  const total = `(SELECT '' AS facet, '' AS value, count(*) AS count FROM counted)`;
  const found = foundIn(parts, ['id', ...new Set(find.facets.map(column))], values);
  return {
    text: `WITH counted AS MATERIALIZED (SELECT * FROM ${found}) ${[total, ...counted].join(' UNION ALL ')}`,
    values: values.list,
  };
}

/** Any of the levels, without tokens that a beginning includes. */
function anyLevel(levels: Level[]): Match {
  const alternatives = levels.flatMap(({ match }) => alternativesOf(match));
  const texts = (prefix: boolean) =>
    alternatives.flatMap((one) => ('token' in one && (one.prefix === true) === prefix ? [one.token] : []));
  const begun = new Set(texts(true));
  const exact = [...new Set(texts(false))].filter((token) => !begun.has(token));
  return {
    any: [
      ...[...begun].map((token): Match => ({ token, prefix: true })),
      ...exact.map((token): Match => ({ token })),
      ...alternatives.filter((one) => !('token' in one)),
    ],
  };
}

const alternativesOf = (match: Match): Match[] => ('any' in match ? match.any.flatMap(alternativesOf) : [match]);

/** The condition in the syntax of tsquery: quoted, a token is taken as it is. */
function tsquery(match: Match): string {
  if ('token' in match) {
    const text = match.token.replaceAll('\\', '\\\\').replaceAll("'", "''");
    return `'${text}'${match.prefix ? ':*' : ''}`;
  }
  const [parts, operator] = 'any' in match ? [match.any, ' | '] : [match.all, ' & '];
  return `(${parts.map(tsquery).join(operator)})`;
}
