/** Imports the real orders through the API, and says whether all of it reconciles: the demo's import, within the cluster. */
import { systemClock } from '@caudal/kernel/time.ts';
import { connectApi } from '@caudal/service-runtime/cli/run-import.ts';
import { plan as planImport } from '@caudal/service-runtime/import/plan.ts';
import { readFile } from '@caudal/service-runtime/import/read-file.ts';
import { runImport } from '@caudal/service-runtime/import/run.ts';
import { verifyImport } from '@caudal/service-runtime/import/verify.ts';
import { addresses, auth } from './setting.ts';

const plan = planImport(await readFile('/app/services/runtime/data/online-retail-sample.csv'));
const { api, close } = connectApi(addresses, auth);
const run = { plan, api, clock: systemClock, signal: AbortSignal.timeout(340_000) };
const outcome = await runImport({ ...run, onProgress: () => {} });
const { checks } = await verifyImport({ ...run, outcome });
close();
console.log(
  JSON.stringify({ orders: plan.orders.length, checks: checks.length, wrong: checks.filter(({ ok }) => !ok) }),
);
