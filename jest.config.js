/** Unit tests are beside the code that they test (`src/*.test.ts`); tests of the whole system are under `test/`. */
export default {
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': './scripts/jest-transform.js' },
  testMatch: ['**/*.test.ts'],
  // Of two cores that servers and processes share, a test may get next to nothing for a while.
  testTimeout: 60_000,
  // More workers would only take the cores from the servers and processes that the tests start.
  maxWorkers: 2,
};
