/** Random views and aggregations, and their results computed in memory, which every store must return. */
import type { Random } from '@caudal/testing/random.ts';
import type { Aggregation, AggregationRow, Layout, TypedKey, Write } from '../stores/store.ts';

export const layout: Layout = {
  keys: {
    owner: { type: 'keyword', many: false },
    amount: { type: 'long', many: false, summable: true },
    rank: { type: 'long', many: false },
    open: { type: 'boolean', many: false },
    at: { type: 'timestamp', many: false },
    tags: { type: 'keyword', many: true },
  },
  indexes: [['owner', 'at'], ['amount'], ['tags']],
};

/** Strings whose order differs between UTF-8, UTF-16 and languages. */
const owners = ['', 'a', 'A', 'b', 'Ü', 'Z', '\uff5e', '😀', 'ab', '10', '9'];

function randomLong({ int, pick, chance }: Random): bigint {
  if (chance(0.5)) return BigInt(int(-1_000, 1_000));
  if (chance(0.2)) return pick([-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, -(2n ** 53n) - 1n, 2n ** 44n, -1n]);
  return BigInt.asIntN(64, (BigInt(int(0, 2 ** 32 - 1)) << 32n) | BigInt(int(0, 2 ** 32 - 1)));
}

/** The keys of a view; each is null at times. */
export function randomKeys(random: Random): Write['keys'] {
  const { int, pick, chance } = random;
  const sometimes = (value: TypedKey) => (chance(0.15) ? null : value);
  return {
    owner: sometimes(pick(owners)),
    amount: sometimes(randomLong(random)),
    rank: sometimes(pick([1n, 2n, 2n ** 53n + 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n - 2n, -(2n ** 63n)])),
    open: sometimes(chance(0.5)),
    at: sometimes(new Date(Date.UTC(pick([1969, 2026, 2028]), int(0, 3), int(1, 3), int(0, 23), 0, 0, int(0, 999)))),
    tags: [],
  };
}

export function randomAggregation({ int, pick, chance }: Random): Omit<Aggregation, 'maxMs'> {
  const groupBy = ['owner', 'rank', 'open', 'at']
    .filter(() => chance(0.4))
    .map((key) => ({ key, ...(key === 'at' && chance(0.7) && { unit: pick(['day', 'month'] as const) }) }));
  const compute: Aggregation['compute'] = Array.from({ length: int(1, 4) }, () =>
    pick([
      { kind: 'count' },
      { kind: 'sum', key: 'amount' },
      ...['amount', 'rank', 'owner', 'at'].flatMap((key) => [
        { kind: 'min' as const, key },
        { kind: 'max' as const, key },
      ]),
    ]),
  );
  const groups = groupBy.map((_, group) => ({ by: { group }, descending: chance(0.5) }));
  if (chance(0.5)) groups.reverse();
  const values = compute.map((_, computed) => ({ by: { computed }, descending: chance(0.5) }));
  const where: Aggregation['where'] = chance(0.5)
    ? []
    : [
        pick([
          { key: 'open', equals: true },
          { key: 'owner', in: ['a', 'Ü', null] },
          { key: 'amount', atLeast: -5n },
        ]),
      ];
  return {
    where,
    groupBy,
    compute,
    orderBy: [...(chance(0.5) ? values.slice(0, int(1, 2)) : []), ...groups],
    limit: pick([1, 3, 1_001]),
  };
}

type Keys = Record<string, TypedKey | TypedKey[]>;

/** The rows of an aggregation over views with these keys. */
export function rowsOf({ where, groupBy, compute, orderBy, limit }: Aggregation, views: Keys[]): AggregationRow[] {
  const groups = new Map<string, { group: TypedKey[]; members: Keys[] }>();
  if (groupBy.length === 0) groups.set('[]', { group: [], members: [] });
  for (const view of views.filter((keys) => where.every((condition) => meets(keys, condition)))) {
    const group = groupBy.map(({ key, unit }) => beginning(view[key] as TypedKey, unit));
    const name = JSON.stringify(group, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
    const found = groups.get(name) ?? { group, members: [] };
    groups.set(name, found);
    found.members.push(view);
  }
  const rows = [...groups.values()].map(({ group, members }) => ({
    group,
    computed: compute.map((computation): TypedKey => {
      if (computation.kind === 'count') return BigInt(members.length);
      const present = members.map((keys) => keys[computation.key] as TypedKey).filter((value) => value != null);
      if (computation.kind === 'sum') return present.reduce((sum: bigint, value) => sum + (value as bigint), 0n);
      const sorted = present.sort(byValue);
      return (computation.kind === 'min' ? sorted[0] : sorted.at(-1)) ?? null;
    }),
  }));
  rows.sort((a, b) => {
    for (const { by, descending } of orderBy) {
      const [x, y] =
        'group' in by ? [a.group[by.group], b.group[by.group]] : [a, b].map((row) => row.computed[by.computed]);
      const order = byValue(x ?? null, y ?? null);
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  });
  return rows.slice(0, limit);
}

function meets(keys: Keys, condition: Aggregation['where'][number]): boolean {
  const value = keys[condition.key] as TypedKey;
  if ('equals' in condition) return value === condition.equals;
  if ('in' in condition) return condition.in.includes(value);
  return value !== null && value >= condition.atLeast!;
}

function beginning(value: TypedKey, unit: 'day' | 'month' | undefined): TypedKey {
  if (!(value instanceof Date) || !unit) return value;
  return new Date(
    `${value.toISOString().slice(0, unit === 'day' ? 10 : 7)}${unit === 'day' ? '' : '-01'}T00:00:00.000Z`,
  );
}

/** UTF-8 orders strings as their code points do. */
function byValue(a: TypedKey, b: TypedKey): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  if (typeof a !== 'string' || typeof b !== 'string') return a < b ? -1 : a > b ? 1 : 0;
  const [x, y] = [Array.from(a), Array.from(b)].map((text) => text.map((char) => char.codePointAt(0)!));
  for (let place = 0; place < Math.min(x!.length, y!.length); place++)
    if (x![place] !== y![place]) return x![place]! - y![place]!;
  return x!.length - y!.length;
}
