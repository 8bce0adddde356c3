/** How strong the reads of a call are: as its header says, or else as the contract does. docs/read-strength.md */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type ReadStrength, readStrengths } from '@caudal/contract/reads.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/**
 * Undefined if neither says anything. Throws INVALID_ARGUMENT for an unknown word, and for AT_LEAST without a token. A command reads
 * what it needs: it is not refused for the header.
 */
export function readStrengthOf(
  { noSideEffects, reads }: Pick<MethodContract, 'noSideEffects' | 'reads'>,
  header: string | undefined,
  hasToken: boolean,
): ReadStrength | undefined {
  if (header === undefined || !noSideEffects) return reads.strength;
  const strength = readStrengths.find((each) => each === header.toUpperCase());
  if (!strength) throw wrong(`must be one of ${readStrengths.join(', ')}`);
  if (strength === 'AT_LEAST' && !hasToken)
    throw wrong('AT_LEAST needs the consistency token of an earlier answer beside it');
  return strength;
}

function wrong(description: string): CaudalError {
  return new CaudalError(
    'INVALID_ARGUMENT',
    'INVALID_READ_STRENGTH',
    `The header read-strength is wrong: ${description}.`,
    {
      violations: [{ field: 'read-strength', description }],
    },
  );
}
