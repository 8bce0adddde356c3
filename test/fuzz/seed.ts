/** The parameters of a run, with which it can be repeated. */

/** FUZZ_SEED: everything that is generated follows from it. */
export const seed = numberIn('FUZZ_SEED', 20_260_127);

/** FUZZ_REQUESTS: the minimum of requests of each of the two large fuzzers. */
export const requests = numberIn('FUZZ_REQUESTS', 10_000);

function numberIn(name: string, usual: number): number {
  const given = process.env[name];
  if (!given) return usual;
  const value = Number(given);
  if (!Number.isInteger(value) || value < 1 || value > 2 ** 31 - 1)
    throw new Error(`${name} must be a whole number from 1 to ${2 ** 31 - 1}, not "${given}".`);
  return value;
}

/** Shown with every failure: how to repeat the run. */
export const howToRepeat = `Again: FUZZ_SEED=${seed} FUZZ_REQUESTS=${requests} npm test -- test/fuzz`;
