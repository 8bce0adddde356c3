import { isCurrency } from '@caudal/contract/currencies.ts';

const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];

/** Every currency of ISO 4217 that is in use: of all codes that there could be, those that are taken for one. */
export const currencies: readonly string[] = letters
  .flatMap((a) => letters.flatMap((b) => letters.map((c) => `${a}${b}${c}`)))
  .filter(isCurrency);
