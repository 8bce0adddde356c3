/**
 * The API that the import uses: public services only, with calls that are repeated while parts of the system restart.
 */
import type { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import type { CustomerServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type {
  InventoryQueryServiceService,
  InventoryServiceService,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type {
  WalletQueryServiceService,
  WalletServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import type { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import type { CallOptions, Client } from '@caudal/rpc/types.ts';

export interface ImportApi {
  catalog: Client<CatalogServiceService>;
  customers: Client<CustomerServiceService>;
  stock: Client<InventoryServiceService>;
  stockQueries: Client<InventoryQueryServiceService>;
  wallets: Client<WalletServiceService>;
  walletQueries: Client<WalletQueryServiceService>;
  paymentQueries: Client<PaymentQueryServiceService>;
  orders: Client<OrderServiceService>;
  orderQueries: Client<OrderQueryServiceService>;
  shipping: Client<ShippingServiceService>;
}

export interface Patience {
  clock: Clock;
  signal: AbortSignal;
}

/** How long a call is repeated while the system is unreachable: a restart of any of its parts takes less. */
const CALL_LIMIT_MS = 120_000;
/** Repeats after INTERNAL. It may be a connection that broke, but is more likely a bug, which repeats do not cure. */
const MOST_INTERNAL = 5;
const LONGEST_PAUSE_MS = 2_000;

/**
 * The same API; a call is repeated while its errors are transient, for at most two minutes. Safe for queries and for
 * commands with a request_id. Throws the last error, or the signal's reason once it fires.
 */
export function patientApi(api: ImportApi, patience: Patience): ImportApi {
  const services = Object.entries(api).map(([name, client]) => [name, patientClient(client, patience)]);
  return Object.fromEntries(services) as ImportApi;
}

type Method = (request: unknown, options?: CallOptions) => Promise<unknown>;

function patientClient(client: object, patience: Patience): object {
  const methods = (Object.entries(client) as [string, Method][]).map(([name, call]) => [
    name,
    (request: unknown, options?: CallOptions) =>
      patiently(() => call(request, { ...options, signal: patience.signal }), patience),
  ]);
  return Object.fromEntries(methods);
}

async function patiently<T>(call: () => Promise<T>, { clock, signal }: Patience): Promise<T> {
  const giveUpAt = clock().getTime() + CALL_LIMIT_MS;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      const hope = isTransient(error) || (isCode(error, 'INTERNAL') && attempt <= MOST_INTERNAL);
      if (!hope || clock().getTime() >= giveUpAt) throw error;
      await sleep(backoffMs(attempt, { firstMs: 50, maxMs: LONGEST_PAUSE_MS }), signal);
    }
  }
}
