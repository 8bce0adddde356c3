/** The fields of a cart beside its lines: each has the strategy that its configuration names. */
import { compareStamps, compareTexts, type Stamp, stampAfter } from './stamp.ts';
import { maximum } from './strategies/maximum.ts';
import { setUnion } from './strategies/set-union.ts';
import { siblings } from './strategies/siblings.ts';
import type { Strategy, Value } from './strategies/strategy.ts';
import { sum } from './strategies/sum.ts';
import { firstWriterWins, lastWriterWins } from './strategies/writer-wins.ts';

/** All strategies by their names. */
export const strategies = {
  'last-writer-wins': lastWriterWins,
  'first-writer-wins': firstWriterWins,
  'set-union': setUnion,
  siblings,
  maximum,
  sum,
} as Record<StrategyName, Strategy<unknown>>;

export type StrategyName = 'last-writer-wins' | 'first-writer-wins' | 'set-union' | 'siblings' | 'maximum' | 'sum';

/** Which strategy each field has: `{ coupon: 'last-writer-wins' }`. */
export type FieldsConfig = Record<string, StrategyName>;

/** A field as it is kept: with its strategy, so that whoever merges it needs no configuration. */
export interface Field {
  strategy: StrategyName;
  state: unknown;
}

export type Fields = Map<string, Field>;

/** What one device has written is merged with what another one has. */
export function mergeFields(a: Fields, b: Fields): Fields {
  const merged = new Map(a);
  for (const [name, field] of b) {
    const own = a.get(name);
    merged.set(name, own ? mergeField(own, field) : field);
  }
  return merged;
}

function mergeField(a: Field, b: Field): Field {
  // Devices with different configurations: one of the strategies counts, and all agree which.
  if (a.strategy !== b.strategy) return compareTexts(a.strategy, b.strategy) > 0 ? a : b;
  return { strategy: a.strategy, state: strategies[a.strategy].merge(a.state, b.state) };
}

/** The values of a field: several if a person must choose. */
export function valuesOf({ strategy, state }: Field): Value[] {
  return strategies[strategy].values(state);
}

/** The latest stamp in the fields. */
export function latestStamp(fields: Fields): Stamp | undefined {
  const stamps = [...fields.values()].flatMap(({ strategy, state }) => strategies[strategy].stamp(state) ?? []);
  return stamps.sort(compareStamps).at(-1);
}

/**
 * The fields with the stamps of `device` in `names` that are after `nowMs` put back to then: for a clock that was ahead. Like all stamps
 * they are later than those in `known`, which the device has seen.
 */
export function restampFields(fields: Fields, { names, known, device, nowMs }: Restamping): Fields {
  const restamped = new Map(fields);
  let last = latestStamp(known);
  for (const name of names) {
    const { strategy, state } = fields.get(name)!;
    const change = (stamp: Stamp) => {
      if (stamp.device !== device || stamp.ms <= nowMs) return stamp;
      last = stampAfter(last, nowMs, device);
      return last;
    };
    restamped.set(name, { strategy, state: strategies[strategy].restamped(state, change) });
  }
  return restamped;
}

export interface Restamping {
  names: Iterable<string>;
  known: Fields;
  device: string;
  nowMs: number;
}

export interface FieldWrite {
  name: string;
  value: Value;
  device: string;
  nowMs: number;
}

/** Writes a value. Throws a RangeError if the configuration has no such field, or the value is not one for its strategy. */
export function writeField(fields: Fields, write: FieldWrite, config: FieldsConfig): Fields {
  const { name, value, device, nowMs } = write;
  const strategy = Object.hasOwn(config, name) ? config[name] : undefined;
  if (!strategy) throw new RangeError(`There is no field "${name}": it is one of ${Object.keys(config).join(', ')}.`);
  const known = fields.get(name);
  const state = known?.strategy === strategy ? known.state : undefined;
  const stamp = stampAfter(latestStamp(fields), nowMs, device);
  return new Map(fields).set(name, { strategy, state: strategies[strategy].write(state, value, { stamp }) });
}
