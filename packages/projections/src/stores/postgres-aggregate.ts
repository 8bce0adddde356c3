/**
 * Aggregations in SQL. sum(bigint) is numeric, so it is exact and never overflows. Integers are returned as text, since
 * JavaScript's numbers would round them.
 */
import { typeOfComputed } from './aggregation.ts';
import { column, conditions, parameters } from './postgres-sql.ts';
import type { Aggregation, AggregationRow, Layout, TypedComputation, TypedGroup, TypedKey } from './store.ts';

type Row = Record<string, string | boolean | Date | null>;

/** The statement of an aggregation, and `rows`, which decodes its result. */
export function aggregateStatement(table: string, layout: Layout, aggregation: Aggregation) {
  const { where, groupBy, compute, orderBy, limit } = aggregation;
  const values = parameters();
  const columns = [
    ...groupBy.map((group, place) => ({ name: `g${place}`, sql: groupOf(group), type: layout.keys[group.key]!.type })),
    ...compute.map((computation, place) => ({
      name: `c${place}`,
      sql: computed(computation),
      type: typeOfComputed(computation, layout),
    })),
  ];
  const shown = columns.map(({ name, type }) => (type === 'long' ? `${name}::text AS ${name}` : name));
  const order = orderBy.map(({ by, descending }) => {
    const name = 'group' in by ? `g${by.group}` : `c${by.computed}`;
    return `groups.${name} ${descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'}`;
  });
  // Without GROUP BY there is one row, which is right for no group keys.
  const text = `SELECT ${shown.join(', ')} FROM (
      SELECT ${columns.map(({ name, sql }) => `${sql} AS ${name}`).join(', ')} FROM ${table}
      WHERE ${['NOT deleted', ...conditions(where, layout, values)].join(' AND ')}
      ${groupBy.length > 0 ? `GROUP BY ${groupBy.map((_, place) => place + 1).join(', ')}` : ''}
    ) AS groups
    ${order.length > 0 ? `ORDER BY ${order.join(', ')}` : ''} LIMIT ${values.add(limit)}`;
  const valuesOf = (row: Row, prefix: string) =>
    columns
      .filter(({ name }) => name.startsWith(prefix))
      .map(
        ({ name, type }): TypedKey =>
          type === 'long' && row[name] !== null ? BigInt(row[name] as string) : row[name]!,
      );
  return {
    statement: { text, values: values.list },
    rows: (rows: Row[]): AggregationRow[] =>
      rows.map((row) => ({ group: valuesOf(row, 'g'), computed: valuesOf(row, 'c') })),
  };
}

function groupOf({ key, unit }: TypedGroup): string {
  return unit ? `date_trunc('${unit}', ${column(key)}, 'UTC')` : column(key);
}

function computed(computation: TypedComputation): string {
  switch (computation.kind) {
    case 'count':
      return 'count(*)';
    case 'sum':
      return `coalesce(sum(${column(computation.key)}), 0)`;
    default:
      return `${computation.kind}(${column(computation.key)})`;
  }
}
