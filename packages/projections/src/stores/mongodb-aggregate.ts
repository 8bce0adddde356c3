/**
 * Aggregations as MongoDB's pipelines. A `$sum` of int64 becomes a double once it does not fit into an int64, and is rounded;
 * as Decimal128 it has 34 digits, enough for 10^15 views of the greatest int64.
 */
import { Decimal128, type Document } from 'mongodb';
import { typeOfComputed } from './aggregation.ts';
import type { Aggregation, AggregationRow, Layout, TypedComputation, TypedGroup, TypedKey } from './store.ts';

/** The stages after `$match`. */
export function aggregateStages({ groupBy, compute, orderBy, limit }: Aggregation): Document[] {
  const groups = groupBy.map((group, place) => [`g${place}`, groupOf(group)]);
  const values = compute.map((computation, place) => [`c${place}`, computed(computation)]);
  const order = orderBy.map(({ by, descending }): [string, 1 | -1] => [
    'group' in by ? `_id.g${by.group}` : `c${by.computed}`,
    descending ? -1 : 1,
  ]);
  return [
    { $group: { _id: groups.length > 0 ? Object.fromEntries(groups) : null, ...Object.fromEntries(values) } },
    ...(order.length > 0 ? [{ $sort: Object.fromEntries(order) }] : []),
    { $limit: limit },
  ];
}

/** A row of a pipeline's answer. */
export function aggregateRow(
  { _id: group, ...values }: Document,
  { groupBy, compute }: Aggregation,
  layout: Layout,
): AggregationRow {
  return {
    group: groupBy.map(({ key }, place) => typed(group[`g${place}`], layout.keys[key]!.type === 'long')),
    computed: compute.map((computation, place) =>
      typed(values[`c${place}`], typeOfComputed(computation, layout) === 'long'),
    ),
  };
}

function groupOf({ key, unit }: TypedGroup): Document {
  const value = { $ifNull: [`$keys.${key}`, null] };
  return unit ? { $dateTrunc: { date: value, unit, timezone: 'UTC' } } : value;
}

function computed(computation: TypedComputation): Document {
  switch (computation.kind) {
    case 'count':
      return { $sum: 1 };
    case 'sum':
      return { $sum: { $toDecimal: `$keys.${computation.key}` } };
    default:
      return { [`$${computation.kind}`]: `$keys.${computation.key}` };
  }
}

function typed(value: unknown, long: boolean): TypedKey {
  if (value === undefined || value === null) return null;
  if (!long) return value as TypedKey;
  return value instanceof Decimal128 ? wholeNumber(value) : BigInt(value as number | bigint);
}

/** A Decimal128 that is a whole number, which the server may write as `1.5E+3`. */
function wholeNumber(decimal: Decimal128): bigint {
  const text = decimal.toString();
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:E\+?(-?\d+))?$/.exec(text) ?? [];
  const zeros = Number(exponent) - fraction.length;
  if (whole === undefined || zeros < 0) throw new Error(`MongoDB's sum of whole numbers is ${text}`);
  return BigInt(`${sign}${whole}${fraction}${'0'.repeat(zeros)}`);
}
