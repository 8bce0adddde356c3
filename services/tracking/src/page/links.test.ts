/** The life of a public link, over HTTP and on a real PostgreSQL. */

import type { ParcelLinkServiceService } from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { someEvent } from '@caudal/eventlog/testing/events.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { start, stopAll } from '@caudal/rpc/testing/fixture.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parcelLinkService } from '../commands/parcel-link-service.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { forgetEndedLinks } from '../jobs/forget-links.ts';
import { trackingPageQueryService } from '../queries/tracking-page-query-service.ts';
import { linkErasures } from '../sagas/link-erasures.ts';
import { writeTraces } from '../store/write-traces.ts';
import { openWorld, trace, type World } from '../testing/world.ts';

const dayMs = 86_400_000;

describeWith(['postgres'], 'public links', () => {
  let world: World;
  let url: string;
  let now: Date;
  let links: Handlers<ParcelLinkServiceService>;
  beforeAll(async () => {
    world = await openWorld();
    const { database } = world;
    const clock = () => now;
    links = parcelLinkService({ database, clock }).handlers as unknown as typeof links;
    now = new Date();
    ({ url } = await start({}, [trackingPageQueryService({ database, clock })]));
  }, 60_000);
  afterAll(async () => {
    await stopAll();
    await world?.drop();
  });

  /** A parcel of alice's shipment of the same name. */
  async function parcel(trackingNumber: string): Promise<void> {
    const first = trace(trackingNumber, 0, { status: 2, detail: 'Left the depot' });
    await world.database.transaction((tx) => writeTraces(tx, [Trace.encode(first).finish()]));
    await change(trackingNumber, "shipment = tracking_number, order_id = 'O-77', customer = 'alice'");
  }
  const change = (trackingNumber: string, set: string) =>
    world.database.query({
      text: `UPDATE parcels SET ${set} WHERE parcel = $1`,
      values: [parcelId('ACME', trackingNumber)],
    });
  const named = (trackingNumber: string) => ({ carrier: 'acme', trackingNumber });
  const alice = () => testCall({ subject: 'alice' });
  const create = async (trackingNumber: string) => links.createParcelLink(named(trackingNumber), alice());
  async function visit(path: string) {
    const reply = await fetch(`${url}${path}`, { headers: { accept: 'text/html' } });
    return { status: reply.status, html: await reply.text() };
  }

  test('a link shows its parcel to anyone, and nothing of a person', async () => {
    await parcel('L1');
    const { path, endTime } = await create('L1');
    expect(path).toMatch(/^\/track\/[\w-]{43}$/);
    expect(endTime).toEqual(new Date(now.getTime() + 180 * dayMs));
    const { status, html } = await visit(path);
    expect(status).toBe(200);
    expect(html).toContain('Left the depot');
    expect(html).not.toMatch(/alice|O-77/);
    const rows = await world.database.query<{ row: string }>({ text: 'SELECT l::text AS row FROM parcel_links l' });
    expect(JSON.stringify(rows)).not.toContain(path.split('/').at(-1));
  });

  test('links are made and revoked by the buyer and by staff, and by no one else', async () => {
    await parcel('L2');
    const mallory = () => testCall({ subject: 'mallory' });
    expect(await refusalOf(links.createParcelLink(named('L2'), mallory()))).toMatchObject({ reason: 'NOT_OWNER' });
    expect(await refusalOf(links.revokeParcelLinks(named('L2'), mallory()))).toMatchObject({ reason: 'NOT_OWNER' });
    expect(await refusalOf(links.createParcelLink(named('none'), testCall()))).toMatchObject({
      reason: 'PARCEL_NOT_FOUND',
    });
    await links.createParcelLink(named('L2'), testCall());
    expect(await links.revokeParcelLinks(named('L2'), alice())).toEqual({ revoked: 1 });
  });

  test('one that never was, has ended, was revoked, or is of a former shipment, is one and the same 404', async () => {
    for (const number of ['R1', 'R2', 'R3', 'R4']) await parcel(number);
    const [revoked, former, ended, live] = await Promise.all(['R1', 'R2', 'R3', 'R4'].map(create));
    expect((await visit(revoked!.path)).status).toBe(200);
    expect(await links.revokeParcelLinks(named('R1'), alice())).toEqual({ revoked: 1 });
    expect(await links.revokeParcelLinks(named('R1'), alice())).toEqual({ revoked: 0 });
    await change('R2', "shipment = 'other', customer = 'bob'");
    const before = [await visit(revoked!.path), await visit(former!.path), await visit(`/track/${'A'.repeat(43)}`)];
    expect((await visit(ended!.path)).status).toBe(200);
    const then = now;
    now = new Date(ended!.endTime!.getTime());
    try {
      const answers = [...before, await visit(ended!.path), await visit(live!.path)];
      expect(new Set(answers.map(({ status, html }) => `${status} ${html}`)).size).toBe(1);
      expect(answers[0]).toMatchObject({ status: 404, html: expect.stringContaining('This link shows no parcel') });
    } finally {
      now = then;
    }
    expect((await visit(live!.path)).status).toBe(200);
  });

  test('a link lives for as long as its parcel has the shipment, and no shipment is one as well', async () => {
    await parcel('S1');
    await change('S1', 'shipment = NULL, customer = NULL');
    const { path } = await links.createParcelLink(named('S1'), testCall());
    expect((await visit(path)).status).toBe(200);
    await change('S1', "shipment = 'S1', customer = 'alice'");
    expect((await visit(path)).status).toBe(404);
  });

  test('the eleventh link of a parcel ends the oldest, also of links that are made at the same time', async () => {
    await parcel('M1');
    const then = now;
    const oldest = await create('M1');
    now = new Date(then.getTime() + 1_000);
    const others = await Promise.all(Array.from({ length: 10 }, () => create('M1')));
    expect((await visit(oldest.path)).status).toBe(404);
    for (const { path } of others) expect((await visit(path)).status).toBe(200);
    expect(await links.revokeParcelLinks(named('M1'), alice())).toEqual({ revoked: 10 });
    now = then;
  });

  const count = async () => {
    const rows = await world.database.query<{ n: number }>({ text: 'SELECT count(*)::int AS n FROM parcel_links' });
    return rows[0]!.n;
  };

  test('links to parcels of an erased customer are deleted', async () => {
    await parcel('E1');
    const { path } = await create('E1');
    await change('E1', "customer = 'carol'");
    const others = await links.createParcelLink(named('E1'), testCall({ subject: 'carol' }));
    const saga = linkErasures({ database: world.database });
    const state = { customerId: 'alice', deleted: false };
    expect(saga.next({ ...state, deleted: true })).toBeUndefined();
    expect(await saga.run(saga.next(state)!, state, {} as never)).toEqual([
      { $case: 'linksDeleted', value: { customerId: 'alice' } },
    ]);
    expect((await visit(path)).status).toBe(404);
    expect((await visit(others.path)).status).toBe(200);
  });

  /** As the saga does before it deletes links. */
  async function recordErasure(database: Database, customer: string): Promise<void> {
    const log = openEventLog({ database, domain: 'tracking' });
    await log.append({ stream: `tracking.link_erasure/${customer}`, expected: 0, events: [someEvent()] });
    await log.stop();
  }

  test('no link can be made to the parcel of a customer who was erased, also if it began before', async () => {
    await parcel('F1');
    // Another process.
    const { database } = world.open();
    const erase = (customer: string) => {
      const saga = linkErasures({ database });
      return saga.run(
        saga.next({ customerId: customer, deleted: false })!,
        { customerId: customer, deleted: false },
        {} as never,
      );
    };
    const isWaiting = async () => {
      const text = `SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()`;
      return (await database.query({ text })).length > 0;
    };
    await change('F1', "customer = 'dora'");
    let erasing: Promise<unknown> | undefined;
    const transaction: Database['transaction'] = (work) =>
      world.database.transaction((tx) => {
        const query: typeof tx.query = async (statement) => {
          if (statement.text.startsWith('INSERT INTO parcel_links')) {
            await recordErasure(database, 'dora');
            erasing = erase('dora');
            await until(isWaiting);
          }
          return tx.query(statement);
        };
        return work({ ...tx, query });
      });
    const slow = parcelLinkService({ database: { ...world.database, transaction }, clock: () => now });
    const dora = testCall({ subject: 'dora' });
    const { path } = await (slow.handlers as unknown as typeof links).createParcelLink(named('F1'), dora);
    await erasing;
    expect((await visit(path)).status).toBe(404);
    expect(await refusalOf(links.createParcelLink(named('F1'), dora))).toEqual({
      ...{ code: 'FAILED_PRECONDITION', reason: 'CUSTOMER_ERASED' },
    });
    // One whose id begins in the same way.
    await change('F1', "customer = 'dor'");
    expect((await visit((await links.createParcelLink(named('F1'), testCall({ subject: 'dor' }))).path)).status).toBe(
      200,
    );
  }, 30_000);

  test('links that have ended are deleted', async () => {
    await parcel('D1');
    await create('D1');
    const kept = await count();
    expect(kept).toBeGreaterThan(0);
    const run = (days: number) =>
      forgetEndedLinks.run({ database: world.database } as never, {
        ...{ now: new Date(now.getTime() + days * dayMs), token: 1, signal: new AbortController().signal },
      });
    await run(179);
    expect(await count()).toBe(kept);
    await run(181);
    expect(await count()).toBe(0);
  });
});
