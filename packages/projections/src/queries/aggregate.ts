/** Translates aggregations: queries name keys and values, stores number them. */
import { layoutOf } from '../stores/keys.ts';
import type { Aggregation, AggregationRow, Layout, RowPlace, TypedComputation, TypedGroup } from '../stores/store.ts';
import type {
  AggregateQuery,
  AggregateRow,
  AggregateShape,
  Computation,
  Computations,
  GroupKey,
  Projection,
} from '../types.ts';

const maxGroupKeys = 4;
const maxComputed = 8;

/**
 * Checks an aggregation's shape against its projection. Call it where the module is loaded: then a program with a shape
 * that can't be computed does not start. Throws an Error that names the key and the fix.
 */
export function defineAggregate<V, const G extends GroupKey, const C extends Computations>(
  projection: Projection<V>,
  shape: AggregateShape<G, C>,
): AggregateShape<G, C> {
  typedShape(layoutOf(projection), shape);
  return shape;
}

/** A query in a store's terms, without conditions and bounds. Throws if it is not valid, which is the caller's bug. */
export function typedAggregate(
  layout: Layout,
  query: Pick<AggregateQuery, 'groupBy' | 'compute' | 'orderBy'>,
): Pick<Aggregation, 'groupBy' | 'compute' | 'orderBy'> {
  const { groupBy, compute } = typedShape(layout, query);
  const groups = groupBy.map(({ key }) => key);
  const names = Object.keys(query.compute);
  const wanted = (query.orderBy ?? []).map(({ by, descending = false }) => ({
    by: placeOf(by, groups, names),
    descending,
  }));
  const named = new Set(wanted.map(({ by }) => ('group' in by ? by.group : undefined)));
  const ties = groups.flatMap((_, group) => (named.has(group) ? [] : [{ by: { group }, descending: false }]));
  return { groupBy, compute, orderBy: [...wanted, ...ties] };
}

/** A store's row under the query's names. */
export function namedRow<G extends GroupKey, C extends Computations>(
  { group, computed }: AggregationRow,
  { groupBy, compute }: AggregateShape<G, C>,
): AggregateRow<G, C> {
  const values = Object.entries(compute).map(([name, computation], place) => [
    name,
    computation === 'count' ? Number(computed[place]) : computed[place],
  ]);
  return {
    group: Object.fromEntries(groupBy.map((key, place) => [typedGroup(key).key, group[place]])),
    values: Object.fromEntries(values),
  } as AggregateRow<G, C>;
}

function typedShape(layout: Layout, { groupBy, compute }: AggregateShape) {
  if (groupBy.length > maxGroupKeys)
    throw new Error(`${groupBy.length} keys to group by are too many: at most ${maxGroupKeys}`);
  const groups = groupBy.map(typedGroup);
  for (const [place, { key, unit }] of groups.entries()) {
    const { type, many } = keyOf(layout, key);
    if (groups.findIndex((other) => other.key === key) !== place) throw new Error(`"${key}" is grouped by twice`);
    // A view would be in several groups: the counts and sums of groups would not add up to those of all views.
    if (many) throw new Error(`"${key}" is a list: views can't be grouped by it`);
    if (unit && type !== 'timestamp') throw new Error(`"${key}" is no timestamp: it has no ${unit}`);
  }
  const names = Object.keys(compute);
  if (names.length === 0 || names.length > maxComputed)
    throw new Error(`${names.length} values to compute: at least 1, at most ${maxComputed}`);
  for (const name of names)
    if (groups.some(({ key }) => key === name))
      throw new Error(`"${name}" names both a group key and a computed value`);
  return { groupBy: groups, compute: Object.values(compute).map((value) => typedComputation(layout, value)) };
}

function typedGroup(group: GroupKey): TypedGroup {
  if (typeof group === 'string') return { key: group };
  if (group.timeZone !== 'UTC')
    throw new Error(
      `"${group.key}": the time zone "${group.timeZone}" is not supported: use 'UTC', or a keyword key that holds the day`,
    );
  return { key: group.key, unit: group.unit };
}

function typedComputation(layout: Layout, computation: Computation): TypedComputation {
  if (computation === 'count') return { kind: 'count' };
  const [[kind, name] = [], ...more] = Object.entries(computation);
  if (name === undefined || more.length > 0 || !['sum', 'min', 'max'].includes(kind!))
    throw new Error(`${JSON.stringify(computation)} can't be computed: "count", or one of sum, min, max with its key`);
  const { type, many, summable } = keyOf(layout, name);
  if (kind === 'sum' && !summable)
    throw new Error(`"${name}" can't be added up: declare it { type: 'long', summable: true } and raise the version`);
  if (many || type === 'boolean') throw new Error(`"${name}" has no ${kind}: only one long, timestamp or keyword has`);
  return { kind: kind as 'sum' | 'min' | 'max', key: name };
}

function keyOf(layout: Layout, name: string) {
  const key = Object.hasOwn(layout.keys, name) ? layout.keys[name] : undefined;
  if (!key) throw new Error(`"${name}" is not a key of this view`);
  if (key.type === 'text') throw new Error(`"${name}" is of type text: only a search can use it`);
  return key;
}

function placeOf(by: string, groups: string[], names: string[]): RowPlace {
  const group = groups.indexOf(by);
  if (group >= 0) return { group };
  const computed = names.indexOf(by);
  if (computed < 0) throw new Error(`"${by}" is neither grouped by nor computed: rows can't be ordered by it`);
  return { computed };
}
