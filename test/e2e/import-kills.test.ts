/**
 * The last fifth of the real file, or with IMPORT_LINES=all the whole, is imported on the real servers, while one role after another is killed
 * with -9 and started again. The report must reconcile as if there had been no kill.
 */
import { fileURLToPath } from 'node:url';
import { connectApi } from '@caudal/cli/run-import.ts';
import { plan } from '@caudal/importer/plan.ts';
import { readFile } from '@caudal/importer/read-file.ts';
import { runImport } from '@caudal/importer/run.ts';
import { verifyImport } from '@caudal/importer/verify.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';

const sample = fileURLToPath(new URL('../../apps/importer/data/online-retail-sample.csv', import.meta.url));
const ROLES = ['projector', 'relay', 'saga', 'command', 'query'];
const MINUTES = 60_000;
const lines = process.env.IMPORT_LINES === 'all' ? Infinity : 1_000;

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'an import while roles are killed', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem({
      form: 'processes',
      // Messages that a killed process loses are found soon, instead of after half a minute.
      env: () => ({ CAUDAL_RECONCILIATION_INTERVAL: '2s', CAUDAL_RECONCILIATION_MIN_AGE: '1s' }),
    });
  }, 2 * MINUTES);
  afterAll(() => system?.stop(), MINUTES);

  systemTest(() => system)(
    'reconciles although every role is killed twice during it',
    async () => {
      const token = await system.token({ subject: 'import' });
      const { api, close } = connectApi(
        { command: system.part('command').grpc, query: system.part('query').grpc },
        async () => token,
      );
      const planned = plan((await readFile(sample)).slice(-lines));
      const run = { plan: planned, api, clock: systemClock, signal: AbortSignal.timeout(19 * MINUTES) };
      let orders = 0;
      const kills: { role: string; orders: number }[] = [];
      const importing = { done: false };

      async function fire(): Promise<void> {
        for (const role of [...ROLES, ...ROLES]) {
          // The kills are spread over the import; the first one is not before the first order.
          const share = (planned.orders.length * (kills.length + 1)) / (2 * ROLES.length + 2);
          while (orders < share && !importing.done) await new Promise((resolve) => setTimeout(resolve, 20));
          if (importing.done) return;
          await system.part(role).end('SIGKILL');
          kills.push({ role, orders });
          await system.part(role).start();
        }
      }

      const firing = fire();
      const outcome = await runImport({
        ...run,
        onProgress: ({ step, done }) => {
          if (step === 'orders') orders = done;
        },
      });
      importing.done = true;
      await firing;
      const { checks } = await verifyImport({ ...run, outcome });
      close();

      expect(checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(kills.map(({ role }) => role)).toEqual([...ROLES, ...ROLES]);
      // Not at the end, when there was nothing left to disturb.
      expect(kills.at(-1)!.orders).toBeLessThan(planned.orders.length + planned.corrections.length);
    },
    20 * MINUTES,
  );
});
