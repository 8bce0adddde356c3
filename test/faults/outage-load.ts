/** A steady load of all kinds of calls, alternating between REST and gRPC, and a record of each call. */
import { newId } from '@caudal/kernel/ids.ts';
import type { ServerName } from '@caudal/testing/servers.ts';
import type { Api, Json } from '../e2e/api.ts';
import { deliver, newCustomer, newProduct, orderConfirmed, orderOf, placeOrder, pounds, unique } from '../e2e/world.ts';
import type { Answer, Callers } from './measured-calls.ts';

/** A kind of call: what it requests, and which server it needs. */
export interface Kind {
  name: string;
  method: string;
  request(): Json;
  /** Without this server it can't be answered. */
  needs: ServerName | undefined;
  /** This server is read unless a cache has the answer, which it does in these tests. */
  cacheOf?: ServerName;
  /** The answer without an outage. */
  expected: 'OK' | 'NOT_FOUND';
  /** A command: it is repeated with its request id until it is answered. */
  writes: boolean;
}

export interface Noted extends Answer {
  kind: Kind;
  request: Json;
}

export interface World {
  customerIds: string[];
  productIds: string[];
  /** For orders that are not part of the load. */
  spare: { customerId: string; productId: string };
  kinds: Kind[];
}

/** The initial stock and balance: enough for all orders. */
export const pieces = 100_000;
export const money = 10_000_000;
export const price = 250;

/** Makes the objects of the load. Those that caches answer have been read, and do not change any more. */
export async function makeWorld(api: Api): Promise<World> {
  const productIds = await Promise.all(
    Array.from({ length: 5 }, () => newProduct(api, { price, quantity: pieces, title: 'Outage lamp' })),
  );
  const customerIds = await Promise.all(Array.from({ length: 5 }, () => newCustomer(api, money)));
  const quiet = {
    productId: await newProduct(api, { price, title: 'Quiet lamp' }),
    customerId: await newCustomer(api, money),
  };
  const spare = { productId: await newProduct(api), customerId: await newCustomer(api, money) };
  const { orderId } = await placeOrder(api, quiet);
  await orderConfirmed(api, orderId);
  await deliver(api, orderId);

  const any = (ids: string[]) => ids[Math.floor(Math.random() * ids.length)]!;
  const command = { needs: 'postgres', expected: 'OK', writes: true } as const;
  const query = { expected: 'OK', writes: false } as const;
  const kinds: Kind[] = [
    {
      ...command,
      name: 'place an order',
      method: 'PlaceOrder',
      request: () => ({
        ...orderOf({
          customerId: any(customerIds),
          productId: any(productIds),
          card: Math.random() < 0.5 ? 'tok_approved' : undefined,
        }),
        requestId: newId(),
      }),
    },
    {
      ...command,
      name: 'deposit',
      method: 'Deposit',
      request: () => ({ walletId: any(customerIds), amount: pounds(1), reference: unique('load'), requestId: newId() }),
    },
    {
      ...query,
      name: 'customer, from the log',
      method: 'GetCustomer',
      request: () => ({ customerId: any(customerIds) }),
      needs: 'postgres',
    },
    {
      ...query,
      name: 'shipment, from the log',
      method: 'GetShipment',
      request: () => ({ shipmentId: orderId }),
      needs: 'postgres',
    },
    {
      ...query,
      name: 'order, cached',
      method: 'GetOrder',
      request: () => ({ orderId }),
      needs: undefined,
      cacheOf: 'mongodb',
    },
    {
      ...query,
      name: 'wallet, cached',
      method: 'GetWallet',
      request: () => ({ walletId: quiet.customerId }),
      needs: undefined,
      cacheOf: 'mongodb',
    },
    {
      ...query,
      name: 'order that no cache has',
      method: 'GetOrder',
      request: () => ({ orderId: unique('nobody') }),
      needs: 'mongodb',
      expected: 'NOT_FOUND',
    },
    {
      ...query,
      name: 'list of orders',
      method: 'ListOrders',
      request: () => ({ customerId: any(customerIds), pageSize: 20 }),
      needs: 'mongodb',
    },
    {
      ...query,
      name: 'product, cached',
      method: 'GetProduct',
      request: () => ({ productId: quiet.productId }),
      needs: undefined,
      cacheOf: 'elasticsearch',
    },
    {
      ...query,
      name: 'product that no cache has',
      method: 'GetProduct',
      request: () => ({ productId: unique('nothing') }),
      needs: 'elasticsearch',
      expected: 'NOT_FOUND',
    },
    {
      ...query,
      name: 'search',
      method: 'SearchProducts',
      request: () => ({ query: 'lamp', pageSize: 5 }),
      needs: 'elasticsearch',
    },
  ];
  return { customerIds, productIds, spare, kinds };
}

export interface Load {
  /** All calls that have ended, in the order in which they ended. */
  noted: Noted[];
  /** Makes no more calls, and waits for those in flight. */
  stop(): Promise<void>;
}

/** Makes a call of each kind every `everyMs`, whatever became of the calls before. */
export function startLoad(callers: Callers, kinds: Kind[], everyMs: number): Load {
  const noted: Noted[] = [];
  const underWay = new Set<Promise<void>>();
  let turn = 0;

  function ask(kind: Kind, via: 'rest' | 'grpc'): void {
    const request = kind.request();
    const call = callers[via](kind.method, request).then((answer) => {
      noted.push({ ...answer, kind, request });
      underWay.delete(call);
    });
    underWay.add(call);
  }

  // One kind at a time, so that calls are evenly spaced: each kind is called every `everyMs`.
  const timer = setInterval(() => {
    const kind = kinds[turn % kinds.length]!;
    const round = Math.floor(turn / kinds.length);
    ask(kind, round % 2 === 0 ? 'rest' : 'grpc');
    turn += 1;
  }, everyMs / kinds.length);

  return {
    noted,
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
