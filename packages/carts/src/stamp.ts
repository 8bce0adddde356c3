/**
 * Stamps of a hybrid logical clock: later than every stamp that the device has seen, and near its clock. So what a device with a slow
 * clock writes after it has seen another write counts as later than that one. A server refuses stamps that lie ahead of its own clock.
 */

/** When something was written. Stamps of one device differ. */
export interface Stamp {
  /** Milliseconds since 1970. */
  ms: number;
  /** Orders stamps of one millisecond. */
  count: number;
  /** The device that has written it. */
  device: string;
}

/** Negative if `a` is the earlier one. Stamps of one moment are ordered by their devices' ids: any order will do, if all agree. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.ms - b.ms || a.count - b.count || compareTexts(a.device, b.device);
}

/** By code units: the same order on every machine, whatever its language. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A stamp after `last`, which is the latest one that the device knows. */
export function stampAfter(last: Stamp | undefined, nowMs: number, device: string): Stamp {
  if (!last || nowMs > last.ms) return { ms: nowMs, count: 0, device };
  return { ms: last.ms, count: last.count + 1, device };
}

export function isStamp(value: unknown): value is Stamp {
  return (
    hasOnly(value, ['ms', 'count', 'device']) && isCount(value.ms) && isCount(value.count) && isDevice(value.device)
  );
}

/**
 * Whether it is written as a UUID. Shorter ones would let a clock have more entries than fit into the time of a merge, and other texts
 * would be kept without having been looked at.
 */
export function isDevice(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value);
}

/** Whether it is an object with these keys and no others: what nobody has checked must not be kept, nor sent to other devices. */
export function hasOnly<K extends string>(value: unknown, keys: K[]): value is Record<K, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key));
}

/** Whether it is a whole number that is exact in every language. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
