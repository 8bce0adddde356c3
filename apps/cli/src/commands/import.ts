/** `caudal import`: imports a retailer's file into a running system. */
import { access, constants } from 'node:fs/promises';
import { loadConfig } from '@caudal/config/config.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { createLifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { tlsSettings } from '@caudal/server/settings/tls-settings.ts';
import { openTls, trustConfigured } from '@caudal/server/tls.ts';
import { Command, InvalidArgumentError } from 'commander';
import { importToken } from '../import-token.ts';
import { importFile } from '../run-import.ts';
import { untilSignal } from '../signals.ts';
import { UsageError } from '../usage.ts';

/** Its own settings only, since it may run on a machine without settings of the system. */
export const importSettings = {
  CAUDAL_TOKEN: settings.CAUDAL_TOKEN,
  CAUDAL_GRPC_PORT: settings.CAUDAL_GRPC_PORT,
  CAUDAL_AUTH: settings.CAUDAL_AUTH,
  CAUDAL_CUSTOMER_CLAIM: settings.CAUDAL_CUSTOMER_CLAIM,
  CAUDAL_USER_KEY: settings.CAUDAL_USER_KEY,
  CAUDAL_SERVICE_KEY: settings.CAUDAL_SERVICE_KEY,
  CAUDAL_SERVICE_JWKS: settings.CAUDAL_SERVICE_JWKS,
  CAUDAL_SERVICE_ISSUER: settings.CAUDAL_SERVICE_ISSUER,
  CAUDAL_SERVICE_AUDIENCE: settings.CAUDAL_SERVICE_AUDIENCE,
  CAUDAL_SERVICE_TOKEN_MAX_LIFETIME: settings.CAUDAL_SERVICE_TOKEN_MAX_LIFETIME,
  CAUDAL_JWKS: settings.CAUDAL_JWKS,
  CAUDAL_JWKS_MAX_STALE: settings.CAUDAL_JWKS_MAX_STALE,
  CAUDAL_ALLOW_HTTP_JWKS: settings.CAUDAL_ALLOW_HTTP_JWKS,
  CAUDAL_OIDC_ISSUER: settings.CAUDAL_OIDC_ISSUER,
  CAUDAL_ISSUER: settings.CAUDAL_ISSUER,
  CAUDAL_AUDIENCE: settings.CAUDAL_AUDIENCE,
  CAUDAL_TOKEN_MAX_LIFETIME: settings.CAUDAL_TOKEN_MAX_LIFETIME,
  CAUDAL_DATA_DIR: settings.CAUDAL_DATA_DIR,
  DATABASE_URL: settings.DATABASE_URL,
  ...tlsSettings,
};

interface Options {
  address?: string;
  token?: string;
  concurrency: number;
  json?: boolean;
}

export function importCommand(): Command {
  return new Command('import')
    .description(
      'import a file with the columns of the Online Retail data set through the public API, and reconcile it',
    )
    .argument('<file>', 'the file: CSV with InvoiceNo, StockCode, Description, Quantity, InvoiceDate, ...')
    .option('--address <host:port>', 'the gRPC port of the system; if absent CAUDAL_GRPC_PORT of this machine')
    .option('--token <token>', 'the token for the calls; if absent CAUDAL_TOKEN, else one that is signed here')
    .option('--concurrency <n>', 'orders in flight at the same time', wholeNumber, 64)
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `
The system is called over TLS if CAUDAL_TLS_CALLS is true or CAUDAL_TLS_CERTIFICATE is set, and plainly otherwise.
For a system on this machine no token need be given: one is signed like that of "caudal token --subject import --all".

Exit code: 0 if everything reconciles, else 1. An import that was interrupted can be started again.

Example: caudal import orders.csv --address 127.0.0.1:9090`,
    )
    .action(async (file: string, { address: given, token, concurrency, json }: Options) => {
      const { CAUDAL_TOKEN, CAUDAL_GRPC_PORT, ...values } = loadConfig(importSettings);
      const address = given ?? `127.0.0.1:${CAUDAL_GRPC_PORT}`;
      await access(file, constants.R_OK).catch((error: NodeJS.ErrnoException) => {
        throw new UsageError(`The file ${file} can't be read (${error.code}).`);
      });
      trustConfigured(values);
      const tls = await openTls(values);
      const { source, explain } = await importToken(address, token ?? CAUDAL_TOKEN, values);
      const lifecycle = createLifecycle();
      const reconciled = await untilSignal(lifecycle, (running) =>
        running(
          importFile({
            file,
            addresses: { command: address, query: address },
            auth: source,
            tls: tls.calls,
            concurrency,
            json: json ?? false,
            signal: lifecycle.ending,
          }).catch((error) => {
            throw withAddress(explain(error), address);
          }),
        ),
      );
      await tls.stop();
      process.exitCode = reconciled ? 0 : 1;
    });
}

/** An unreachable system, with what was called. */
export function withAddress(error: unknown, address: string): unknown {
  if (!isCode(error, 'UNAVAILABLE') && !isCode((error as Error).cause, 'UNAVAILABLE')) return error;
  const message = `${(error as Error).message} The import calls ${address}: does a system run there? --address names another.`;
  return new Error(message, { cause: error });
}

export function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 1000)
    throw new InvalidArgumentError('It must be a whole number from 1 to 1000.');
  return number;
}
