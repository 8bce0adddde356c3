/** Checks of options' values, for commander. */
import { InvalidArgumentError } from 'commander';

/** A whole number from 1 on. */
export function count(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 2 ** 31 - 1) {
    throw new InvalidArgumentError('It must be a whole number from 1 on.');
  }
  return value;
}

/** Gathers the values of an option that may be given several times. */
export function several(text: string, before: string[] = []): string[] {
  return [...before, text];
}
