/** A strategy: how the values that several devices give one field become one. Its merge is commutative, associative and idempotent. */
import type { Stamp } from '../stamp.ts';

/** A value of a field. */
export type Value = string | number | string[];

export interface Writing {
  /** Of this write. Later than all that the device knows. */
  stamp: Stamp;
}

/** `S`: what is kept of the field, as JSON. */
export interface Strategy<S> {
  /** The state after a write. Throws a RangeError if the value is not one for this strategy. */
  write(state: S | undefined, value: Value, writing: Writing): S;
  merge(a: S, b: S): S;
  /** The values to show: one, or several if a person must choose; none if there is none. All texts that a person can have typed. */
  values(state: S): Value[];
  /** The latest stamp in it. */
  stamp(state: S): Stamp | undefined;
  /** The state with other stamps. */
  restamped(state: S, change: (stamp: Stamp) => Stamp): S;
  /** Whether this is such a state, within its bounds and with nothing beside it: for what comes from a network. */
  isState(value: unknown): value is S;
}

/** The longest text, in UTF-16 units. */
const maxTextLength = 2_000;

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxTextLength;
}

export function textOf(value: Value): string {
  if (isText(value)) return value;
  throw new RangeError(`The value must be a text of at most ${maxTextLength} characters.`);
}

export function numberOf(value: Value): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && Math.abs(value) <= maxNumber) return value;
  throw new RangeError(`The value must be a whole number of at most ${maxNumber}.`);
}

/** Sums of this many devices' numbers stay exact. */
export const maxNumber = 1e12;
