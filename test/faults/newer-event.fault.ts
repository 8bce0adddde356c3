/**
 * Events of a newer version of Caudal are in the logs and queues of a version that does not know them, as during a
 * rollout or a rollback. The older version loses no event and decides nothing on an incomplete state; everything else
 * continues. The newer version then does what the events say.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { fulfilment, order, shipment, stock } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { Client } from 'pg';
import type { Json } from '../e2e/api.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { until } from '../e2e/wait.ts';
import {
  balanceOf,
  deliver,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  placeOrder,
  stockOf,
} from '../e2e/world.ts';
import { newField } from './newer-version.ts';
import { runCaudal } from './run-caudal.ts';

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'events of a newer version', () => {
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;
  let settings: Record<string, string>;
  const folder = mkdtempSync(join(tmpdir(), 'caudal-version-'));
  const versionFile = join(folder, 'version');
  const become = (version: 'older' | 'newer') => writeFileSync(versionFile, version);

  beforeAll(async () => {
    become('older');
    gateway = await startSandboxGateway();
    system = await startSystem({
      form: 'stores',
      env(_part, stores) {
        const hook = pathToFileURL(join(import.meta.dirname, 'newer-version.ts'));
        const version = { FAULTS_VERSION: versionFile, NODE_OPTIONS: `--import=${hook}` };
        settings = { ...stores!.env, ...version, PAYMENTS_GATEWAY_URL: gateway.url };
        return { ...version, PAYMENTS_GATEWAY_URL: gateway.url };
      },
    });
    logs = openLogs(system);
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await system?.stop();
    await gateway?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, 120_000);

  const it = systemTest(() => system);
  const api = () => system.api;

  /**
   * Appends an event as the newer version would, even one that this version's contract lacks. Returns its version in
   * the stream.
   */
  async function append(stream: string, event: { type: string; data: Uint8Array; schemaVersion?: number }) {
    const schema = stream.slice(0, stream.indexOf('.'));
    const database = openDatabase({ url: system.stores!.databaseUrl, schema, applicationName: 'newer-version' });
    const log = openEventLog({ database, domain: schema });
    try {
      const { eventId, metadata } = anyEvent();
      const events = [{ schemaVersion: 1, ...event, eventId, metadata }];
      const result = await log.append({ stream, expected: 'any', events });
      if (result.kind !== 'appended') throw new Error(`The result of the append is ${result.kind}.`);
      return result.version;
    } finally {
      await log.stop();
      await database.close();
    }
  }

  const caudal = (...args: string[]) => runCaudal(settings, ...args);

  interface Parked {
    handler: string;
    stream: string;
    version: number;
    eventType: string;
    error: string;
  }

  async function parked(): Promise<Parked[]> {
    const { code, stdout, stderr } = await caudal('deadletters', 'list', '--json');
    if (code !== 0) throw new Error(stderr);
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  /** The parked streams among these handlers and streams, after all of them are parked. */
  async function parkedOf(wanted: [handler: string, stream: string][]): Promise<Parked[]> {
    const find = (all: Parked[]) =>
      wanted.flatMap(([handler, stream]) => all.find((one) => one.handler === handler && one.stream === stream) ?? []);
    return find(await until('they are parked', parked, (all) => find(all).length === wanted.length));
  }

  /** How often the order's saga has retried its step. */
  async function retriesOf(orderId: string): Promise<number> {
    const client = new Client({ connectionString: system.stores!.databaseUrl });
    await client.connect();
    try {
      const text = "SELECT retries FROM orders.timers WHERE handler = 'fulfilment.process' AND id = $1";
      return (await client.query<{ retries: number }>(text, [orderId])).rows[0]?.retries ?? 0;
    } finally {
      await client.end();
    }
  }

  async function newOrder(productId: string): Promise<{ customerId: string; orderId: string }> {
    const customerId = await newCustomer(api(), 1_000);
    return { customerId, orderId: (await placeOrder(api(), { customerId, productId })).orderId };
  }

  async function confirmedOrder(productId: string) {
    const placed = await newOrder(productId);
    await orderConfirmed(api(), placed.orderId);
    return placed;
  }

  /**
   * Refused without a decision, with a message for the caller: not an internal error, and not a refusal that a saga
   * would act on.
   */
  async function expectUndecided(method: string, request: Json): Promise<void> {
    const { status, body, headers } = await api().send(method, request);
    expect([status, body.code, body.reason]).toEqual([503, 'UNAVAILABLE', 'NEWER_VERSION_NEEDED']);
    expect(headers.get('retry-after')).not.toBeNull();
  }

  it('are not lost on an older one: it decides nothing on them, the rest continues, the newer one handles them', async () => {
    const productId = await newProduct(api(), { price: 100, quantity: 10 });
    const rare = await newProduct(api(), { price: 100, quantity: 5 });
    const confirmed = () => confirmedOrder(productId);
    const [wanted, shipped, changed] = await Promise.all([confirmed(), confirmed(), confirmed()]);

    // A request to cancel, in a version that only the newer Caudal knows.
    const wish = new BinaryWriter().tag(1, 2).string('no more need').tag(2, 2).string('the buyer').finish();
    const wishType = 'orders.order.cancel_requested.v2';
    const at = await append(order.stream(wanted.orderId), { type: wishType, data: inUnion(wish) });
    // A fact of a saga's state.
    const nothing = new Uint8Array();
    const fact = { type: 'orders.fulfilment.confirmed.v2', data: inUnion(nothing) };
    await append(fulfilment.stream(shipped.orderId), fact);
    // A known event in a newer schema version.
    const restocked = stock.encode({ $case: 'restocked', value: { quantity: 5n, available: 10n } });
    await append(stock.stream(rare), { ...restocked, schemaVersion: 2 });
    // A known event with a new field, which the contract allows at any time.
    await append(order.stream(changed.orderId), {
      type: 'orders.order.cancel_requested.v1',
      data: inUnion(wish, cancelRequestedField),
    });
    // And a new entity.
    await append('orders.gift/1', { type: 'orders.gift.wrapped.v1', data: wish });

    // A state with an unknown event decides nothing,
    await expectUndecided('CancelOrder', { orderId: wanted.orderId, reason: 'asked again' });
    await expectUndecided('Restock', { productId: rare, quantity: '1' });
    // nor do sagas act on it: an order that needs it waits, and is not rejected.
    const waiting = await newOrder(rare);
    await until(
      'its reservation is retried',
      () => retriesOf(waiting.orderId),
      (retries) => retries > 1,
    );
    // Other contexts continue, even with such an order; its saga gets none of its events yet.
    await deliver(api(), shipped.orderId);
    await orderAt(api(), changed.orderId, 'CANCELLED');
    await confirmed();

    const all = await parkedOf([
      ['order-details.v4.1', order.stream(wanted.orderId)],
      ['fulfilment.process', order.stream(wanted.orderId)],
      ['order-mails.process', order.stream(wanted.orderId)],
      ['fulfilment.process', shipment.stream(shipped.orderId)],
      ['stock-dashboard.v1.1', stock.stream(rare)],
      ['reservation-expiry.process', stock.stream(rare)],
      ['product-search.v2.1', stock.stream(rare)],
    ]);
    expect(all[0]).toMatchObject({ version: at, eventType: wishType, error: expect.stringContaining('NewerEvent') });
    // Views show the state before the unknown events, and verify reports the unknown events.
    expect((await orderAt(api(), wanted.orderId, 'CONFIRMED')).orderId).toBe(wanted.orderId);
    expect(await stockOf(api(), rare)).toMatchObject({ onHand: '5', reserved: '0' });
    expect((await orderAt(api(), waiting.orderId, 'PENDING')).orderId).toBe(waiting.orderId);
    const shown = await caudal('log', 'show', order.stream(wanted.orderId));
    expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining(wishType) });
    const verified = await caudal('verify', 'order-details', '--json');
    expect(verified.code).toBe(1);
    expect(JSON.parse(verified.stdout).views[0].failed).toEqual([
      { stream: order.stream(wanted.orderId), version: at, error: expect.stringContaining(wishType) },
    ]);

    // Now the newer version starts.
    expect(await system.part('all').end('SIGTERM')).toBe(0);
    become('newer');
    await system.part('all').start();
    // Orders that only waited continue by themselves,
    await orderConfirmed(api(), waiting.orderId);
    // and parked streams are redriven.
    for (const handler of new Set(all.map((one) => one.handler))) {
      const { code, stdout } = await caudal('deadletters', 'redrive', handler);
      expect([handler, code, stdout]).toEqual([handler, 0, expect.stringContaining('redriven')]);
    }
    await orderAt(api(), wanted.orderId, 'CANCELLED', ({ payment }) => payment.status === 'refunded');
    expect(await balanceOf(api(), wanted.customerId)).toBe(1_000);
    await orderAt(api(), shipped.orderId, 'DELIVERED');
    expect(await stockOf(api(), rare)).toMatchObject({ onHand: '9', reserved: '0' });
    await api().call('Restock', { productId: rare, quantity: '1' });

    await logs.settledHeads();
    expect(await parked()).toEqual([]);
    expect(await system.stores!.deadLetters()).toEqual([]);
    const { right, views } = JSON.parse((await caudal('verify', 'all', '--json')).stdout);
    expect([right, views.filter((view: Json) => !view.right)]).toEqual([true, []]);
    // Only the new entity is still unknown to it.
    const { contexts } = JSON.parse((await caudal('replay', 'all', '--json')).stdout);
    expect(contexts.flatMap(({ findings }: Json) => findings)).toEqual([
      expect.objectContaining({ where: 'orders.gift/1' }),
    ]);
  }, 150_000);
});

/** The parts of an event of this version beside its data. */
const anyEvent = () =>
  newEvent({
    entity: order,
    event: { $case: 'shipped', value: { customerId: '' } },
    origin: { actor: 'service:newer', causationId: '', correlationId: 'newer', traceparent: '' },
    now: new Date(),
  });

/** The message in a field of its union; in the new field, if none is given. */
const inUnion = (message: Uint8Array, field = newField) => new BinaryWriter().tag(field, 2).bytes(message).finish();

/** `cancel_requested` of OrderEvent. */
const cancelRequestedField = 7;
