/** What a run of the fuzzers is made from, so that the same run can be had again. */

/** Everything that is generated follows from it: FUZZ_SEED. */
export const seed = numberIn('FUZZ_SEED', 20_260_127);

/** How many requests each of the two large fuzzers sends at least: FUZZ_REQUESTS. */
export const requests = numberIn('FUZZ_REQUESTS', 10_000);

function numberIn(name: string, usual: number): number {
  const given = process.env[name];
  if (!given) return usual;
  const value = Number(given);
  if (!Number.isInteger(value) || value < 1 || value > 2 ** 31 - 1)
    throw new Error(`${name} must be a whole number from 1 to ${2 ** 31 - 1}, not "${given}".`);
  return value;
}

/** Shown with every failure. */
export const howToRepeat = `Again: FUZZ_SEED=${seed} FUZZ_REQUESTS=${requests} npm test -- test/fuzz`;
