/** `caudal tracking`: work on what carriers say of parcels. */
import { access, constants } from 'node:fs/promises';
import { extname } from 'node:path';
import { loadConfig } from '@caudal/config/config.ts';
import { isZone } from '@caudal/kernel/zones.ts';
import { createLifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { openTls, trustConfigured } from '@caudal/server/tls.ts';
import { Command, Option } from 'commander';
import { importToken } from '../import-token.ts';
import { importTracesFile } from '../import-traces.ts';
import { restoreTracesCommand } from '../restore-traces.ts';
import { untilSignal } from '../signals.ts';
import { UsageError } from '../usage.ts';
import { importSettings, wholeNumber, withAddress } from './import.ts';

interface Options {
  format?: Format;
  carrier?: string;
  zone?: string;
  address?: string;
  token?: string;
  concurrency: number;
  json?: boolean;
}

type Format = 'csv' | 'ndjson';
const formats: Record<string, Format> = { '.csv': 'csv', '.ndjson': 'ndjson', '.jsonl': 'ndjson' };

export function trackingCommand(): Command {
  return new Command('tracking')
    .description('work on what carriers say of parcels')
    .addCommand(importCommand())
    .addCommand(restoreTracesCommand());
}

function importCommand(): Command {
  return new Command('import')
    .description('import a file of traces, CSV or lines of JSON, into a running system')
    .argument('<file>', 'the file; docs/carriers.md has its columns')
    .addOption(
      new Option('--format <format>', 'its format; if absent, by its ending: .csv, .ndjson, .jsonl').choices([
        'csv',
        'ndjson',
      ]),
    )
    .option('--carrier <name>', 'the carrier of lines that name none')
    .option('--zone <zone>', 'the time zone of times without an offset: Europe/Berlin, +01:00')
    .option('--address <host:port>', 'the gRPC port of the system; if absent CAUDAL_GRPC_PORT of this machine')
    .option('--token <token>', 'the token for the calls; if absent CAUDAL_TOKEN, else one that is signed here')
    .option('--concurrency <n>', 'calls of 1,000 traces in flight at the same time', wholeNumber, 4)
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `
A wrong line is reported with its number, and does not hinder the others. A system that is full or away is waited for, ten minutes at
most. An import may be started again: traces that are known change nothing.

The system is called over TLS if CAUDAL_TLS_CALLS is true or CAUDAL_TLS_CERTIFICATE is set, and plainly otherwise.
For a system on this machine no token need be given: one is signed like that of "caudal token --subject import --all".

Exit code: 0 if every line was taken, 1 if some were refused or the import failed, 2 for wrong arguments.

Example: caudal tracking import traces.csv --carrier acme --zone Europe/Berlin`,
    )
    .action(runImport);
}

async function runImport(file: string, options: Options): Promise<void> {
  const { carrier, zone, token, concurrency, json } = options;
  const format = options.format ?? formats[extname(file).toLowerCase()];
  if (!format) throw new UsageError(`The format of ${file} is not known by its ending: give --format csv or ndjson.`);
  if (zone !== undefined && !isZone(zone))
    throw new UsageError(`--zone is no time zone: give a name, as Europe/Berlin, or an offset, as +01:00.`);
  if (carrier !== undefined && !/^[a-z][a-z0-9-]{0,31}$/.test(carrier))
    throw new UsageError('--carrier is no name of a carrier: 1 to 32 small letters, digits and "-".');
  await access(file, constants.R_OK).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`The file ${file} can't be read (${error.code}).`);
  });
  const { CAUDAL_TOKEN, CAUDAL_GRPC_PORT, ...values } = loadConfig(importSettings);
  const address = options.address ?? `127.0.0.1:${CAUDAL_GRPC_PORT}`;
  trustConfigured(values);
  const tls = await openTls(values);
  const { source, explain } = await importToken(address, token ?? CAUDAL_TOKEN, values);
  const lifecycle = createLifecycle();
  const complete = await untilSignal(lifecycle, (running) =>
    running(
      importTracesFile({
        ...{ file, format, address, concurrency, json: json ?? false },
        ...(carrier !== undefined && { carrier }),
        ...(zone !== undefined && { zone }),
        auth: source,
        tls: tls.calls,
        signal: lifecycle.ending,
      }).catch((error) => {
        throw withAddress(explain(error), address);
      }),
    ),
  );
  await tls.stop();
  process.exitCode = complete ? 0 : 1;
}
