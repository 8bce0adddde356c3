/** The generated files agree with the code. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { test } from '@jest/globals';
import { describeWithTools, root } from './chart.ts';

describeWithTools(['helm'], 'generated files', () => {
  test('charts/caudal and k8s/kong/kong.yml are up to date', async () => {
    await promisify(execFile)(process.execPath, ['scripts/charts.ts', '--check'], { cwd: root });
  });
});
