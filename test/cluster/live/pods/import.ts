/** Imports the real orders through the API, and prints the report: "caudal import", within the cluster. */
import { importFile } from '@caudal/cli/run-import.ts';
import { addresses, auth } from './setting.ts';

const file = '/app/apps/importer/data/online-retail-sample.csv';
const signal = AbortSignal.timeout(340_000);
const reconciled = await importFile({ file, addresses, auth, concurrency: 64, json: true, signal });
process.exitCode = reconciled ? 0 : 1;
