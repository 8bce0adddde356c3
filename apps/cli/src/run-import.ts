/** One import from file to report, over the gRPC port of a running system, for `import` and `demo`. */
import { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { CustomerServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import {
  InventoryQueryServiceService,
  InventoryServiceService,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { WalletQueryServiceService, WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { ImportApi } from '@caudal/importer/api.ts';
import { plan as planImport } from '@caudal/importer/plan.ts';
import { createProgress } from '@caudal/importer/progress.ts';
import { readFile } from '@caudal/importer/read-file.ts';
import { renderReport } from '@caudal/importer/render-report.ts';
import { createReport, isReconciled } from '@caudal/importer/report.ts';
import { runImport } from '@caudal/importer/run.ts';
import { verifyImport } from '@caudal/importer/verify.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { CallTls } from '@caudal/rpc/client/call-tls.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import type { TokenSource } from '@caudal/rpc/server/tokens.ts';
import type { Client } from '@caudal/rpc/types.ts';

export interface RunImportOptions {
  file: string;
  /** Addresses of the gRPC ports of the two roles; one process may have both. */
  addresses: { command: string; query: string };
  /** Returns the token for the calls; undefined if the system needs none. */
  auth: TokenSource | undefined;
  /** Absent: the system takes plain connections. */
  tls?: CallTls | undefined;
  concurrency: number;
  /** One JSON object instead of the report for people. */
  json: boolean;
  signal: AbortSignal;
}

/** Imports the file and prints the report. Returns whether everything reconciles. */
export async function importFile({
  file,
  addresses,
  auth,
  tls,
  concurrency,
  json,
  signal,
}: RunImportOptions): Promise<boolean> {
  const plan = planImport(await readFile(file));
  const { api, close } = connectApi(addresses, auth, tls);
  const progress = createProgress({ stream: process.stderr, clock: systemClock });
  try {
    const clock = systemClock;
    const outcome = await runImport({ plan, api, clock, signal, concurrency, onProgress: progress.update });
    progress.stop();
    const { facts, checks } = await verifyImport({ plan, outcome, api, clock, signal });
    const report = createReport({ plan, outcome, facts, checks });
    console.log(json ? JSON.stringify(report) : renderReport(report));
    return isReconciled(report);
  } finally {
    progress.stop();
    close();
  }
}

/** The public services that an import calls, by the addresses of their roles. */
export function connectApi(
  addresses: { command: string; query: string },
  auth: TokenSource | undefined,
  tls?: CallTls,
): { api: ImportApi; close(): void } {
  const clients: { close(): void }[] = [];
  const open = <Definition extends object>(definition: Definition, role: 'command' | 'query'): Client<Definition> => {
    const address = addresses[role];
    const client = connect(definition, { address, auth, tls });
    clients.push(client);
    return client;
  };
  return {
    api: {
      catalog: open(CatalogServiceService, 'command'),
      customers: open(CustomerServiceService, 'command'),
      stock: open(InventoryServiceService, 'command'),
      stockQueries: open(InventoryQueryServiceService, 'query'),
      wallets: open(WalletServiceService, 'command'),
      walletQueries: open(WalletQueryServiceService, 'query'),
      paymentQueries: open(PaymentQueryServiceService, 'query'),
      orders: open(OrderServiceService, 'command'),
      orderQueries: open(OrderQueryServiceService, 'query'),
      shipping: open(ShippingServiceService, 'command'),
    },
    close() {
      for (const client of clients) client.close();
    },
  };
}
