/** Decimal amounts as whole numbers, since sums over a file must be exact. */

/** Amounts are in millionths, the finest fraction of a price in a file. */
const DIGITS = 6;
const SCALE = 10n ** BigInt(DIGITS);
/** Millionths in a minor unit (a cent). */
const PER_MINOR = SCALE / 100n;

/** `2.55` as millionths; undefined if it is not a decimal number, or has more than six decimals. */
export function parseDecimal(text: string): bigint | undefined {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text.trim()) ?? [];
  if (whole === undefined || /[1-9]/.test(fraction.slice(DIGITS))) return undefined;
  const value = BigInt(whole) * SCALE + BigInt(fraction.slice(0, DIGITS).padEnd(DIGITS, '0'));
  return sign ? -value : value;
}

/** Millionths as minor units; undefined if the result is not a whole number. */
export function toMinorUnits(millionths: bigint): bigint | undefined {
  return millionths % PER_MINOR === 0n ? millionths / PER_MINOR : undefined;
}

export function fromMinorUnits(minorUnits: bigint): bigint {
  return minorUnits * PER_MINOR;
}

/** Millionths as a decimal number, `373086.011`, with at least two digits after the point. */
export function formatDecimal(millionths: bigint): string {
  const digits = (millionths < 0n ? -millionths : millionths).toString().padStart(DIGITS + 1, '0');
  const fraction = digits.slice(-DIGITS).replace(/0{1,4}$/, '');
  return `${millionths < 0n ? '-' : ''}${digits.slice(0, -DIGITS)}.${fraction}`;
}
