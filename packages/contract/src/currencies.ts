/**
 * The currencies of ISO 4217 that are in use. The list is that of dinero.js, which follows the standard's amendments. CLDR
 * (`Intl`) is not ISO 4217: it says how many decimals are usual in shops, none for HUF and IQD, for example.
 */
import * as listed from 'dinero.js/currencies';

/** Withdrawn since the list was made: BGN with Bulgaria's euro, 2026-01-01. */
const withdrawn = new Set(['BGN']);

/**
 * The decimals of each currency. dinero.js counts the ouguiya's and the ariary's parts in fifths, as they are coined;
 * ISO 4217 gives both two decimals.
 */
const decimals = new Map<string, number>(
  Object.values(listed)
    .filter(({ code }) => !withdrawn.has(code))
    .map(({ code, base, exponent }) => [code, base === 10 ? exponent : 2]),
);

/** Whether this is the code of a currency in use. */
export const isCurrency = (code: string): boolean => decimals.has(code);

/** The number of decimals of an amount: 2 for GBP, 0 for JPY, 3 for IQD. 2 for a currency that is not in use. */
export const decimalsOf = (code: string): number => decimals.get(code) ?? 2;
