/**
 * Stored documents of views are changed, deleted or added by hand, in each kind of store. `caudal verify` names exactly
 * these, and changes nothing; `caudal rebuild` repairs the view while queries continue.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Json } from '../e2e/api.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { deliver, newCustomer, newProduct, orderAt, orderConfirmed, placeOrder, pounds } from '../e2e/world.ts';
import { runCaudal } from './run-caudal.ts';
import { type Documents, inElasticsearch, inMongodb, inPostgres } from './view-tampering.ts';

/** A view as the running system has it: `order-details.v4`. */
interface Listed {
  view: string;
  context: string;
}

/** Passes the documents of a generation of a view to `work`. */
type Reach<Of> = <T>(of: Of, generation: number, work: (documents: Documents) => Promise<T>) => Promise<T>;

interface View {
  name: string;
  /** Changes the content of a document. */
  change(view: Json): Json;
}

const views: Record<'documents' | 'history' | 'search', View> = {
  documents: {
    name: 'order-details',
    change: (view) => ({ ...view, status: 'ORDER_STATUS_REJECTED' }),
  },
  history: {
    name: 'wallet-transactions',
    change: (view) => ({ ...view, amount: { ...view.amount, minorUnits: '1000000' } }),
  },
  search: { name: 'product-search', change: (view) => ({ ...view, price: pounds(1) }) },
};

/** Documents in every view: six orders of three products by three customers, some of them delivered. */
async function makeWorld({ api }: System) {
  const productIds = await Promise.all([1, 2, 3].map(() => newProduct(api, { price: 250, quantity: 20 })));
  const customerIds = await Promise.all([1, 2, 3].map(() => newCustomer(api, 5_000)));
  const orderIds: string[] = [];
  for (let order = 0; order < 6; order++) {
    const [productId, customerId] = [productIds[order % 3]!, customerIds[order % 3]!];
    const { orderId } = await placeOrder(api, { productId, customerId });
    await orderConfirmed(api, orderId);
    if (order < 3) {
      await deliver(api, orderId);
      await orderAt(api, orderId, 'DELIVERED');
    }
    orderIds.push(orderId);
  }
  return { productIds, customerIds, orderIds };
}

/** The tests, for a running system and the way to its documents. */
function describeCorruption(
  get: () => { system: System; settings: Record<string, string>; reach: Reach<Listed> },
): void {
  const it = systemTest(() => get().system);
  let world: Awaited<ReturnType<typeof makeWorld>>;
  let logs: SystemLogs;
  let listed: Listed[];

  beforeAll(async () => {
    world = await makeWorld(get().system);
    const { stdout, stderr } = await caudal('views', 'list', '--json');
    if (stdout === '') throw new Error(stderr);
    listed = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    logs = openLogs(get().system);
    await logs.settledHeads();
  }, 60_000);
  afterAll(() => logs?.close());

  const caudal = (...args: string[]) => runCaudal(get().settings, ...args);

  const documentsOf: Reach<View> = ({ name }, generation, work) =>
    get().reach(listed.find(({ view }) => view.startsWith(`${name}.v`))!, generation, work);

  async function verify(view: View): Promise<{ code: number | string; found: string[] }> {
    const { code, stdout, stderr } = await caudal('verify', view.name, '--json');
    if (stdout === '') throw new Error(stderr);
    const [report] = JSON.parse(stdout).views;
    expect(report.failed).toEqual([]);
    return { code, found: report.findings.map(({ kind, id }: Json) => `${kind} ${id}`).sort() };
  }

  /** What clients see of a view, in whatever generation it is. */
  async function seen(view: View): Promise<Json> {
    const { api } = get().system;
    const answers = {
      'order-details': () => world.customerIds.map((customerId) => api.call('ListOrders', { customerId })),
      'wallet-transactions': () => world.customerIds.map((walletId) => api.call('ListTransactions', { walletId })),
      'product-search': () => [api.call('SearchProducts', { query: 'lamp' })],
    }[view.name]!();
    const bodies = (await Promise.all(answers)).map(({ body }) => body);
    // These two contain the generation.
    return JSON.parse(JSON.stringify(bodies, (key, value) => (['etag', 'nextPageToken'].includes(key) ? '' : value)));
  }

  /** Queries the view again and again until it is stopped; a missing answer is an error. */
  function keepAsking(view: View): () => Promise<number> {
    let asking = true;
    const asked = (async () => {
      let count = 0;
      for (; asking; count++) {
        await seen(view);
        // Without a pause the queries would take the cores from the processes that the test waits for.
        await delay(50);
      }
      return count;
    })();
    asked.catch(() => {});
    return () => {
      asking = false;
      return asked;
    };
  }

  /** Changes one document, deletes one, adds one. Returns what verify should find. */
  const tamper = (view: View): Promise<string[]> =>
    documentsOf(view, 1, async (documents) => {
      // In a history: entries only. The ids of its cursors are names of streams.
      const ids = (await documents.ids()).filter((id) => !id.includes('/')).sort();
      const [changed, removed, copied] = ids as [string, string, string];
      await documents.change(changed, view.change);
      await documents.remove(removed);
      await documents.copy(copied, 'surplus');
      return [`differing ${changed}`, 'extra surplus', `missing ${removed}`];
    });

  /** A duplicate that comes late makes a removed document anew, from the one event that it carries: it is behind then. */
  const madeAnew = (found: string[]) => found.map((one) => one.replace(/^missing /, 'behind ')).sort();

  async function expectFoundAndHealed(view: View): Promise<void> {
    const before = await seen(view);
    const wrong = await tamper(view);
    const { code, found } = await verify(view);
    expect(code).toBe(1);
    expect([wrong, madeAnew(wrong)]).toContainEqual(found);
    const stop = keepAsking(view);
    const rebuilt = await caudal('rebuild', view.name, '--json');
    expect(await stop()).toBeGreaterThan(3);
    expect(rebuilt).toMatchObject({ code: 0 });
    expect(JSON.parse(rebuilt.stdout)).toMatchObject({ generation: 2, replaced: 1, failed: [], fed: true });
    expect(await verify(view)).toEqual({ code: 0, found: [] });
    expect(await seen(view)).toEqual(before);
  }

  it('finds what was changed, deleted or added, and a rebuild repairs it while queries continue', async () => {
    expect(await caudal('verify', 'all')).toMatchObject({ code: 0, stdout: expect.stringContaining('right') });
    // In parallel: most of the time is spent waiting for views that might only be behind.
    const outcomes = await Promise.allSettled(Object.values(views).map(expectFoundAndHealed));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }, 120_000);

  it('new events reach the views as before', async () => {
    const { api } = get().system;
    const { orderId } = await placeOrder(api, { customerId: world.customerIds[0]!, productId: world.productIds[0]! });
    await orderConfirmed(api, orderId);
    await logs.settledHeads();
    expect(await caudal('verify', 'all')).toMatchObject({ code: 0, stdout: expect.stringContaining('right') });
  }, 60_000);

  it('verify reports it in words too, and changes nothing', async () => {
    const view = views.search;
    const [changed] = await documentsOf(view, 2, async (documents) => {
      const ids = (await documents.ids()).sort();
      await documents.change(ids[0]!, view.change);
      return ids;
    });
    for (let look = 1; look <= 2; look++)
      expect(await caudal('verify', view.name)).toMatchObject({
        code: 1,
        stdout: expect.stringContaining(`  differing ${changed}: is not what the log says`),
      });
  }, 60_000);
}

describeWith(
  ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],
  'corrupted views in MongoDB, Elasticsearch',
  () => {
    let system: System;

    beforeAll(async () => {
      system = await startSystem({ form: 'stores' });
    }, 120_000);
    afterAll(() => system?.stop(), 120_000);

    describeCorruption(() => ({
      system,
      settings: system.stores!.env,
      reach({ view }, generation, work) {
        const reach = view.startsWith('product-search.') ? inElasticsearch : inMongodb;
        return reach(system.stores!.namespace, `${view}.${generation}`, work);
      },
    }));
  },
);

describe('corrupted views in the embedded PostgreSQL', () => {
  let system: System;
  let directory: string;

  beforeAll(async () => {
    system = await startSystem({ form: 'embedded' });
    const environment = readFileSync(`/proc/${system.part('all').pid()}/environ`, 'utf8').split('\0');
    directory = environment.find((one) => one.startsWith('CAUDAL_DATA_DIR='))!.slice('CAUDAL_DATA_DIR='.length);
  }, 120_000);
  afterAll(() => system?.stop(), 120_000);

  function url(): string {
    const password = readFileSync(join(directory, 'postgres.password'), 'utf8').trim();
    const port = readFileSync(join(directory, 'postgres/postmaster.pid'), 'utf8').split('\n')[3];
    return `postgres://caudal:${password}@127.0.0.1:${port}/postgres`;
  }

  describeCorruption(() => ({
    system,
    settings: { CAUDAL_DATA_DIR: directory },
    reach: ({ view, context }, generation, work) =>
      inPostgres(url(), { schema: context, name: `${view}.${generation}` }, work),
  }));
});
