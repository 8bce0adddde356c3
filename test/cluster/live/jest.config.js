/** One release on one cluster: each test needs the result of those before it. */
import base from '../../../jest.config.js';

export default {
  ...base,
  rootDir: '../../..',
  testMatch: ['<rootDir>/test/cluster/live/**/*.live.ts'],
  maxWorkers: 1,
};
