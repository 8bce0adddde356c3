/**
 * Places an order over gRPC and reads it until it is confirmed. It needs a running system (npm start) and the token that
 * npm start prints:
 *
 *   TOKEN=... node_modules/.bin/node examples/place-an-order.ts [127.0.0.1:9090]
 *
 * `connect` is Caudal's own client: grpc-js with deadlines, safe repeats, and errors as CaudalError. Other gRPC clients
 * work as well, with the definitions in proto/caudal.
 */
import { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { CustomerServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import {
  OrderQueryServiceService,
  OrderServiceService,
  OrderStatus,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { connect } from '@caudal/rpc/client/client.ts';

const address = process.argv[2] ?? '127.0.0.1:9090';
const token = process.env.TOKEN;
if (!token) throw new Error('Set TOKEN to the token that npm start prints.');

const to = { address, auth: async () => token };
const catalog = connect(CatalogServiceService, to);
const inventory = connect(InventoryServiceService, to);
const customers = connect(CustomerServiceService, to);
const orders = connect(OrderServiceService, to);
const orderQueries = connect(OrderQueryServiceService, to);

// New ids for each run of the program.
const productId = `lamp-${newId()}`;
const customerId = `ada-${newId()}`;

try {
  await catalog.createProduct({
    requestId: newId(),
    productId,
    title: 'Desk lamp',
    description: '',
    category: 'lamps',
    price: { minorUnits: 2500n, currency: 'GBP' },
  });
  await inventory.createStockItem({ requestId: newId(), productId, kind: '', policy: {}, quantity: 10n });
  await customers.registerCustomer({
    requestId: newId(),
    customerId,
    displayName: 'Ada',
    email: 'ada@example.com',
    country: 'GB',
  });

  const request = {
    requestId: newId(),
    orderId: '',
    customerId,
    country: 'GB',
    lines: [{ productId, quantity: 2n }],
    paymentMethod: { method: { $case: 'cardToken' as const, value: 'tok_approved' } },
    reference: '',
    attributes: {},
  };
  // Queries with this token see at least the order as it was placed.
  let consistencyToken: string | undefined;
  const placed = await orders.placeOrder(request, {
    onConsistencyToken: (token) => {
      consistencyToken = token;
    },
  });
  // The same request again, as after a lost answer. There is still only one order.
  const repeated = await orders.placeOrder(request);
  console.log(`placed ${placed.orderId}; repeated: ${repeated.orderId === placed.orderId ? 'the same' : 'another'}`);

  let status = placed.status;
  for (const end = Date.now() + 10_000; Date.now() < end && status === OrderStatus.ORDER_STATUS_PENDING; ) {
    await sleep(100);
    const found = await orderQueries.getOrder(
      { orderId: placed.orderId, readMask: ['status', 'payment.status'] },
      { consistencyToken },
    );
    status = found.status;
  }
  const [name] = Object.entries(OrderStatus).find(([, number]) => number === status)!;
  console.log(`order ${placed.orderId}: ${name}`);

  // A refusal has a machine-readable reason.
  await orders.placeOrder({ ...request, requestId: newId(), lines: [{ productId: 'no-such', quantity: 1n }] });
} catch (error) {
  if (!(error instanceof CaudalError)) throw error;
  console.log(`refused: ${error.code} ${error.reason} (${error.violations.map(({ field }) => field).join(', ')})`);
} finally {
  for (const client of [catalog, inventory, customers, orders, orderQueries]) client.close();
}
