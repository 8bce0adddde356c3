/** One release on one cluster: what comes first makes what comes later possible. */
import base from '../../../jest.config.js';

export default {
  ...base,
  rootDir: '../../..',
  testMatch: ['<rootDir>/test/cluster/live/**/*.live.ts'],
  maxWorkers: 1,
};
