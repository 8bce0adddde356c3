/** All services of the contract, with handlers that nobody calls. */

import { contract } from '@caudal/contract/descriptors.ts';
import * as audit from '@caudal/contract/gen/caudal/audit/v1/audit.ts';
import * as carts from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import * as catalog from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import * as checks from '@caudal/contract/gen/caudal/credentials/v1/checks.ts';
import * as credentials from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import * as customers from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import * as inventory from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import * as log from '@caudal/contract/gen/caudal/log/v1/log.ts';
import * as orders from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import * as sales from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import * as approvals from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import * as payments from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import * as wallets from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import * as shipping from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import * as links from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import * as tracking from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Method } from '@caudal/contract/method.ts';
import type { Service } from '@caudal/rpc/types.ts';

const modules = [
  approvals,
  audit,
  carts,
  catalog,
  checks,
  credentials,
  customers,
  inventory,
  log,
  orders,
  sales,
  payments,
  wallets,
  shipping,
  tracking,
  links,
];

/** Throws if a method of the contract is missing here. */
export function servicesOfContract(): Service[] {
  const services = modules.flatMap((module) =>
    Object.entries(module)
      .filter(([name]) => name.endsWith('ServiceService'))
      .map(([, value]) => {
        const definition = value as unknown as Record<string, Method>;
        const names = Object.keys(definition);
        const handlers = Object.fromEntries(names.map((name) => [name, () => Promise.reject(new Error(name))]));
        return { definition, handlers };
      }),
  );
  const paths = new Set(services.flatMap(({ definition }) => Object.values(definition).map(({ path }) => path)));
  const missing = contract()
    .methods()
    .find(({ path }) => !paths.has(path));
  if (missing) throw new Error(`${missing.path} is not tried: add its module to services-of-contract.ts.`);
  return services;
}
