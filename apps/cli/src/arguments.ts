/** Checks of options' values, for commander. */
import { InvalidArgumentError } from 'commander';

/** A whole number of at least 1. */
export function count(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 2 ** 31 - 1) {
    throw new InvalidArgumentError('It must be a whole number of at least 1.');
  }
  return value;
}

/** Collects the values of an option that may be given several times. */
export function several(text: string, before: string[] = []): string[] {
  return [...before, text];
}
