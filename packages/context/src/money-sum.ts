/** Sums of money as a response carries them. */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/** An exact sum as Money. OUT_OF_RANGE SUM_TOO_LARGE if it is more than an int64 holds: it is never rounded or cut. */
export function moneySum(minorUnits: bigint, currency: string): Money {
  if (BigInt.asIntN(64, minorUnits) === minorUnits) return { minorUnits, currency };
  const message = `The ${currency} together are more than an int64 holds: ask for less at once.`;
  throw new CaudalError('OUT_OF_RANGE', 'SUM_TOO_LARGE', message, { metadata: { currency, sum: String(minorUnits) } });
}
