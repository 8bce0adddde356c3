/** Keys, which views are found and ordered by: their types are checked here, before any store gets them. */

import type { Condition, Key, KeyType, Query, ViewDeclaration } from '../types.ts';
import type { Find, Layout, Order, TypedCondition, TypedKey, Write } from './store.ts';

const keyName = /^[a-z][a-z0-9_]{0,39}$/;
/** So that the tokens of all fit in a tsvector: see search/forms.ts, `bounds`. */
const mostTexts = 8;
const projectionName = /^[a-z][a-z0-9-]{0,39}$/;

/** The projection's name in generations, queues and metrics: `order-details.v1`. Throws if the name is not valid. */
export function nameOf(projection: { name: string; version: number }): string {
  if (!projectionName.test(projection.name))
    throw new Error(`"${projection.name}" can't name a projection: use a-z, 0-9 and -, at most 40 characters`);
  return `${projection.name}.v${projection.version}`;
}

/** A projection's keys and indexes for the stores. Throws if its declaration is not valid. */
export function layoutOf<V>(projection: ViewDeclaration<V>): Layout {
  const keys = Object.fromEntries(
    Object.entries(projection.keys).map(([name, key]) => {
      if (!keyName.test(name)) throw new Error(`"${name}" can't name a key: use a-z, 0-9 and _, at most 40 characters`);
      const { type, many = false } = key;
      const summable = 'summable' in key && key.summable === true;
      if (summable && (type !== 'long' || many))
        throw new Error(
          `${projection.name}: "${name}" can't be summable: declare it { type: 'long' } without "many", or remove "summable"`,
        );
      const short = 'short' in key && key.short === true;
      return [name, { type, many, ...(summable && { summable }), ...(short && { short }) }];
    }),
  );
  if (Object.values(keys).filter(({ type }) => type === 'text').length > mostTexts)
    throw new Error(`${projection.name}: a view can have ${mostTexts} text keys at most`);
  for (const index of projection.indexes) {
    for (const name of index) {
      if (!keys[name]) throw new Error(`${projection.name}: an index names "${name}", which is not in "keys"`);
      if (keys[name].type === 'text')
        throw new Error(
          `${projection.name}: "${name}" is of type text, which no index can have: only a search uses it`,
        );
      if (keys[name].many && index.length > 1)
        throw new Error(`${projection.name}: the list "${name}" needs an index of its own`);
    }
  }
  return { keys, indexes: projection.indexes };
}

/** The value as a key of this type. Throws a TypeError if its type is another one. */
export function typedKey(type: KeyType, value: Key | undefined): TypedKey {
  if (value === null || value === undefined) return null;
  switch (type) {
    case 'keyword':
    case 'text':
      if (typeof value === 'string') return value;
      break;
    case 'long':
      if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
      if (Number.isSafeInteger(value)) return BigInt(value as number);
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'timestamp':
      if (value instanceof Date && !Number.isNaN(value.getTime())) return value;
  }
  throw new TypeError(`${typeof value} "${String(value).slice(0, 100)}" is no ${type}`);
}

/** Whether two views have the same texts to be searched. */
export function haveSameTexts<V>(projection: ViewDeclaration<V>, before: V, after: V): boolean {
  return Object.values(projection.keys).every(
    (key) => key.type !== 'text' || (key.of(before) ?? null) === (key.of(after) ?? null),
  );
}

/** All keys of a view. Throws if a projection's function throws, or returns a value of another type. */
export function keysOf<V>(projection: ViewDeclaration<V>, view: V): Write['keys'] {
  return Object.fromEntries(
    Object.entries(projection.keys).map(([name, key]) => [
      name,
      key.many ? (key.of(view) ?? []).map((value) => typedKey(key.type, value)) : typedKey(key.type, key.of(view)),
    ]),
  );
}

function layoutKey(layout: Layout, name: string) {
  const key = layout.keys[name];
  if (!key) throw new Error(`"${name}" is not a key of this view`);
  if (key.type === 'text') throw new Error(`"${name}" is of type text: only a search can use it`);
  return key;
}

/** Conditions with typed values. Throws on a key that does not exist or a value of another type: the caller's bug. */
export function typedConditions(layout: Layout, conditions: Condition[] = []): TypedCondition[] {
  return conditions.map((condition) => {
    const { type } = layoutKey(layout, condition.key);
    if ('equals' in condition) return { key: condition.key, equals: typedKey(type, condition.equals) };
    if ('in' in condition) return { key: condition.key, in: condition.in.map((value) => typedKey(type, value)) };
    const typed: { key: string; atLeast?: TypedKey; atMost?: TypedKey } = { key: condition.key };
    if (condition.atLeast !== undefined && condition.atLeast !== null)
      typed.atLeast = typedKey(type, condition.atLeast);
    if (condition.atMost !== undefined && condition.atMost !== null) typed.atMost = typedKey(type, condition.atMost);
    return typed;
  });
}

/** The order of a query. Throws on a key that does not exist, or is a list. */
export function typedOrder(layout: Layout, orderBy: Query['orderBy'] = []): Order[] {
  return orderBy.map(({ key, descending = false }) => {
    if (layoutKey(layout, key).many) throw new Error(`"${key}" is a list: views can't be ordered by it`);
    return { key, descending };
  });
}

/** The order with the id, which makes it total. */
export function totalOrder(orderBy: Order[]): { key: string | undefined; descending: boolean }[] {
  return [...orderBy, { key: undefined, descending: orderBy.at(-1)?.descending ?? false }];
}

/**
 * The condition "after this document in this order", for stores without a native "search after". It has alternatives:
 * in each, some keys are equal and the next one is further.
 */
export function alternativesAfter(find: Pick<Find, 'orderBy'> & { after: NonNullable<Find['after']> }): {
  equal: { key: string; value: TypedKey }[];
  further: { key: string | undefined; value: TypedKey; descending: boolean };
}[] {
  const { orderBy, after } = find;
  return totalOrder(orderBy).map(({ key, descending }, place) => ({
    equal: orderBy.slice(0, place).map(({ key: name }, index) => ({ key: name, value: after.keys[index]! })),
    further: { key, value: key === undefined ? after.id : after.keys[place]!, descending },
  }));
}

/**
 * The conditions of a query, with a bound on the first key of the order that follows from `after`. It changes nothing of
 * what is found. But of "after this document", which has alternatives, PostgreSQL makes no range of an index: without
 * the bound it would read all pages before this one. Nulls are before every value; in a descending order they come last, so
 * then there is a bound only if the query excludes them.
 */
export function boundedConditions({ where, orderBy, after }: Omit<Find, 'limit'>): TypedCondition[] {
  const first = orderBy[0];
  const value = after?.keys[0];
  if (!first || value === undefined || value === null) return where;
  const { key, descending } = first;
  if (!descending) return [...where, { key, atLeast: value }];
  const excludesNulls = where.some((of) => of.key === key && !('equals' in of) && !('in' in of));
  return excludesNulls ? [...where, { key, atMost: value }] : where;
}
