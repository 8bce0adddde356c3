/**
 * Events of a newer version of Caudal, in the logs and in the queues of one that does not know them: as when versions are
 * rolled out, or back. What does not know an event does not lose it, and decides nothing on half of a state; all else goes
 * on. The newer version then does what they say.
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

  /** Appends it, as the newer version would, and what is not in the contract of this one. Its version in the stream. */
  async function append(stream: string, event: { type: string; data: Uint8Array; schemaVersion?: number }) {
    const schema = stream.slice(0, stream.indexOf('.'));
    const database = openDatabase({ url: system.stores!.databaseUrl, schema, applicationName: 'newer-version' });
    const log = openEventLog({ database, domain: schema });
    try {
      const { eventId, metadata } = anyEvent();
      const events = [{ schemaVersion: 1, ...event, eventId, metadata }];
      const result = await log.append({ stream, expected: 'any', events });
      if (result.kind !== 'appended') throw new Error(`The append came to ${result.kind}.`);
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

  /** Those of these handlers and streams, once all of them are parked. */
  async function parkedOf(wanted: [handler: string, stream: string][]): Promise<Parked[]> {
    const find = (all: Parked[]) =>
      wanted.flatMap(([handler, stream]) => all.find((one) => one.handler === handler && one.stream === stream) ?? []);
    return find(await until('they are parked', parked, (all) => find(all).length === wanted.length));
  }

  /** How often the order's process has tried its step in vain. */
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

  /** Refused without a decision, in words for who calls: not a fault, and not a refusal that a process would act on. */
  async function expectUndecided(method: string, request: Json): Promise<void> {
    const { status, body, headers } = await api().send(method, request);
    expect([status, body.code, body.reason]).toEqual([503, 'UNAVAILABLE', 'NEWER_VERSION_NEEDED']);
    expect(headers.get('retry-after')).not.toBeNull();
  }

  it('are not lost on an older one: it decides nothing, the rest goes on, the newer one does what they say', async () => {
    const productId = await newProduct(api(), { price: 100, quantity: 10 });
    const rare = await newProduct(api(), { price: 100, quantity: 5 });
    const confirmed = () => confirmedOrder(productId);
    const [wanted, shipped, changed] = await Promise.all([confirmed(), confirmed(), confirmed()]);

    // A wish to cancel, in words that only the newer version knows.
    const wish = new BinaryWriter().tag(1, 2).string('no more need').tag(2, 2).string('the buyer').finish();
    const wishType = 'orders.order.cancel_requested.v2';
    const at = await append(order.stream(wanted.orderId), { type: wishType, data: inUnion(wish) });
    // What a process remembers.
    const nothing = new Uint8Array();
    const fact = { type: 'orders.fulfilment.confirmed.v2', data: inUnion(nothing) };
    await append(fulfilment.stream(shipped.orderId), fact);
    // A known event in a newer shape.
    const restocked = stock.encode({ $case: 'restocked', value: { quantity: 5n, available: 10n } });
    await append(stock.stream(rare), { ...restocked, schemaVersion: 2 });
    // A known event with a field that is new, as the contract allows at any time.
    await append(order.stream(changed.orderId), {
      type: 'orders.order.cancel_requested.v1',
      data: inUnion(wish, cancelRequestedField),
    });
    // And an entity that is new.
    await append('orders.gift/1', { type: 'orders.gift.wrapped.v1', data: wish });

    // Nothing is decided on a state of which a part is not known,
    await expectUndecided('CancelOrder', { orderId: wanted.orderId, reason: 'asked again' });
    await expectUndecided('Restock', { productId: rare, quantity: '1' });
    // by processes neither: an order that needs it waits, and is not rejected.
    const waiting = await newOrder(rare);
    await until(
      'its reservation is asked for again',
      () => retriesOf(waiting.orderId),
      (retries) => retries > 1,
    );
    // What others do goes on, also with such an order; its process does not hear of it yet.
    await deliver(api(), shipped.orderId);
    await orderAt(api(), changed.orderId, 'CANCELLED');
    await confirmed();

    const all = await parkedOf([
      ['order-details.v2.1', order.stream(wanted.orderId)],
      ['fulfilment.process', order.stream(wanted.orderId)],
      ['order-mails.process', order.stream(wanted.orderId)],
      ['fulfilment.process', shipment.stream(shipped.orderId)],
      ['stock-dashboard.v1.1', stock.stream(rare)],
      ['reservation-expiry.process', stock.stream(rare)],
      ['product-search.v1.1', stock.stream(rare)],
    ]);
    expect(all[0]).toMatchObject({ version: at, eventType: wishType, error: expect.stringContaining('NewerEvent') });
    // Views say what they knew, and verify says what they don't.
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

    // The newer version comes.
    expect(await system.part('all').end('SIGTERM')).toBe(0);
    become('newer');
    await system.part('all').start();
    // What only waited goes on by itself,
    await orderConfirmed(api(), waiting.orderId);
    // and what was parked is told again.
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
    // Of the new entity alone it knows nothing still.
    const { contexts } = JSON.parse((await caudal('replay', 'all', '--json')).stdout);
    expect(contexts.flatMap(({ findings }: Json) => findings)).toEqual([
      expect.objectContaining({ where: 'orders.gift/1' }),
    ]);
  }, 150_000);
});

/** What an event of this version has beside its data. */
const anyEvent = () =>
  newEvent({
    entity: order,
    event: { $case: 'shipped', value: { customerId: '' } },
    origin: { actor: 'service:newer', causationId: '', correlationId: 'newer', traceparent: '' },
    now: new Date(),
  });

/** The message in a field of its union: the one that is new, if none is named. */
const inUnion = (message: Uint8Array, field = newField) => new BinaryWriter().tag(field, 2).bytes(message).finish();

/** `cancel_requested` of OrderEvent. */
const cancelRequestedField = 7;
