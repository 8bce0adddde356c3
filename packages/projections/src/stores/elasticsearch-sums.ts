/**
 * Exact sums of int64 in Elasticsearch, whose sums are doubles. A summable key is stored in three more fields, of 22
 * bits each (the highest with the sign). A double adds up 2^31 of these without rounding, more than a shard can hold.
 */
import type { estypes } from '@elastic/elasticsearch';
import type { Layout, TypedKey, Write } from './store.ts';

/** A long's parts: `high * 2^44 + middle * 2^22 + low`. */
const parts = { high: 44n, middle: 22n, low: 0n };
const mask = (1n << 22n) - 1n;

type Part = keyof typeof parts;
const names = Object.keys(parts) as Part[];

function summable(layout: Layout): string[] {
  return Object.keys(layout.keys).filter((key) => layout.keys[key]!.summable);
}

/** The fields that sums need in an index; none if no key is summable. */
export function sumsMapping(layout: Layout): Record<string, estypes.MappingProperty> {
  const keys = summable(layout);
  if (keys.length === 0) return {};
  const properties = Object.fromEntries(names.map((name) => [name, { type: 'integer', index: false } as const]));
  return {
    sums: { dynamic: 'strict', properties: Object.fromEntries(keys.map((key) => [key, { properties }])) },
  };
}

/** The values of these fields in a document. */
export function sumsOf({ keys }: Write, layout: Layout): { sums?: Record<string, Record<Part, number>> } {
  const present = summable(layout).flatMap((key) => {
    const value = keys[key] as TypedKey | undefined;
    return typeof value === 'bigint' ? [[key, partsOf(value)] as const] : [];
  });
  return present.length > 0 ? { sums: Object.fromEntries(present) } : {};
}

export function partsOf(value: bigint): Record<Part, number> {
  const high = value >> parts.high;
  return { high: Number(high), middle: Number((value >> parts.middle) & mask), low: Number(value & mask) };
}

/** The aggregations that add up a key; `sumIn` reads them. */
export function sumAggregations(name: string, key: string): Record<string, estypes.AggregationsAggregationContainer> {
  return Object.fromEntries(names.map((part) => [`${name}_${part}`, { sum: { field: `sums.${key}.${part}` } }]));
}

/** The sum in a bucket. */
export function sumIn(bucket: object, name: string): bigint {
  const values = bucket as Record<string, { value: number | null } | undefined>;
  return names.reduce((sum, part) => sum + (BigInt(values[`${name}_${part}`]?.value ?? 0) << parts[part]), 0n);
}
