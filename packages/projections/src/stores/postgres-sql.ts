/**
 * The SQL of conditions on keys. Names come from a projection's declaration (checked in keys.ts), values are
 * parameters.
 */
import { alternativesAfter, totalOrder } from './keys.ts';
import { unpackStreams } from './marks.ts';
import type { Find, KeyLayout, Layout, Order, StoredDocument, TypedCondition, TypedKey } from './store.ts';

/** A row as it is selected. */
export interface Row {
  id: string;
  rev: number;
  streams: Record<string, number>;
  deleted: boolean;
  view: unknown;
}

export function documents(rows: Row[]): StoredDocument[] {
  return rows.map(({ id, rev, streams, deleted, view }) => ({
    id,
    revision: rev,
    ...unpackStreams(streams),
    view: deleted ? undefined : view,
  }));
}

/** A name as SQL spells it. */
export function quoted(name: string): string {
  if (name.length > 63) throw new Error(`"${name}" is too long for PostgreSQL`);
  return `"${name.replaceAll('"', '""')}"`;
}

/** The column of a key. */
export function columnName(key: string): string {
  return `k_${key}`;
}

/** The same as SQL spells it. */
export function column(key: string): string {
  return `"${columnName(key)}"`;
}

const types = { keyword: 'text', text: 'text', long: 'bigint', boolean: 'boolean', timestamp: 'timestamptz' };

/** The type of a key's column. Strings are ordered by bytes: other collations depend on the machine's language. */
export function typeOf({ type, many }: KeyLayout): string {
  const collation = types[type] === 'text' ? ' COLLATE "C"' : '';
  return `${types[type]}${many ? '[]' : ''}${collation}`;
}

/** The values of a statement, and the placeholders for them. */
export interface Parameters {
  list: unknown[];
  add(value: unknown): string;
  /** The condition "after this document in this order". */
  after(find: Pick<Find, 'orderBy'> & { after: NonNullable<Find['after']> }, layout: Layout): string;
}

export function parameters(): Parameters {
  const list: unknown[] = [];
  const add = (value: unknown) => {
    list.push(typeof value === 'bigint' ? value.toString() : value);
    return `$${list.length}`;
  };
  const typed = (value: TypedKey, kind: KeyLayout) => `${add(value)}::${types[kind.type]}`;
  return {
    list,
    add,
    after({ orderBy, after }, layout) {
      const alternatives = alternativesAfter({ orderBy, after }).flatMap(({ equal, further }) => {
        const beyond = furtherThan(further, layout, typed);
        if (!beyond) return [];
        const same = equal.map(({ key, value }) =>
          value === null ? `${column(key)} IS NULL` : `${column(key)} = ${typed(value, layout.keys[key]!)}`,
        );
        return [`(${[...same, beyond].join(' AND ')})`];
      });
      return `(${alternatives.join(' OR ')})`;
    },
  };
}

/** Nulls are before every value, and nothing is before them. */
function furtherThan(
  { key, value, descending }: { key: string | undefined; value: TypedKey; descending: boolean },
  layout: Layout,
  typed: (value: TypedKey, kind: KeyLayout) => string,
): string | undefined {
  const name = key === undefined ? 'id' : column(key);
  const kind: KeyLayout = key === undefined ? { type: 'keyword', many: false } : layout.keys[key]!;
  if (!descending) return value === null ? `${name} IS NOT NULL` : `${name} > ${typed(value, kind)}`;
  if (value === null) return undefined;
  return key === undefined ? `${name} < ${typed(value, kind)}` : `(${name} < ${typed(value, kind)} OR ${name} IS NULL)`;
}

export function orderOf(orderBy: Order[]): string {
  return totalOrder(orderBy)
    .map(({ key, descending }) => {
      // Ids are never null, and NULLS FIRST would be another order than that of their index.
      if (key === undefined) return descending ? 'id DESC' : 'id';
      return `${column(key)} ${descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'}`;
    })
    .join(', ');
}

/** Conditions as SQL. A list meets one if any value in it does. */
export function conditions(where: TypedCondition[], layout: Layout, values: Parameters): string[] {
  return where.map((condition) => {
    const kind = layout.keys[condition.key]!;
    const name = column(condition.key);
    const type = types[kind.type];
    if (kind.many) return listCondition(condition, name, type, values);
    if ('equals' in condition)
      return condition.equals === null ? `${name} IS NULL` : `${name} = ${values.add(condition.equals)}::${type}`;
    if ('in' in condition) {
      const present = condition.in.filter((value) => value !== null).map(text);
      const some = `${name} = ANY(${values.add(present)}::${type}[])`;
      return condition.in.includes(null) ? `(${some} OR ${name} IS NULL)` : some;
    }
    return rangeOf(condition, name, type, values);
  });
}

function listCondition(condition: TypedCondition, name: string, type: string, values: Parameters): string {
  if ('equals' in condition)
    return condition.equals === null
      ? `cardinality(${name}) = 0`
      : `${name} @> ARRAY[${values.add(condition.equals)}]::${type}[]`;
  if ('in' in condition) {
    const some = `${name} && ${values.add(condition.in.filter((value) => value !== null).map(text))}::${type}[]`;
    return condition.in.includes(null) ? `(${some} OR cardinality(${name}) = 0)` : some;
  }
  return `EXISTS (SELECT FROM unnest(${name}) AS value WHERE ${rangeOf(condition, 'value', type, values)})`;
}

function rangeOf(
  { atLeast, atMost }: { atLeast?: TypedKey; atMost?: TypedKey },
  name: string,
  type: string,
  values: Parameters,
): string {
  const parts = [`${name} IS NOT NULL`];
  if (atLeast !== undefined) parts.push(`${name} >= ${values.add(atLeast)}::${type}`);
  if (atMost !== undefined) parts.push(`${name} <= ${values.add(atMost)}::${type}`);
  return parts.join(' AND ');
}

function text(value: TypedKey): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
