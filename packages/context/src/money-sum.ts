/** Sums of money for responses. */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/** Whether a sum fits into Money. */
export const isMoneySum = (minorUnits: bigint): boolean => BigInt.asIntN(64, minorUnits) === minorUnits;

/** An exact sum as Money, never rounded or cut. OUT_OF_RANGE SUM_TOO_LARGE if it does not fit into an int64. */
export function moneySum(minorUnits: bigint, currency: string): Money {
  if (isMoneySum(minorUnits)) return { minorUnits, currency };
  const message = `The sum in ${currency} does not fit into an int64: request a smaller range.`;
  throw new CaudalError('OUT_OF_RANGE', 'SUM_TOO_LARGE', message, { metadata: { currency, sum: String(minorUnits) } });
}
