import {
  ListParcelsRequest,
  ListTracesRequest,
  type Parcel,
  ParcelStatus,
  Trace,
  TraceOutcome,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { testBroker } from '@caudal/messaging/testing/rabbit.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parcelId } from './domain/parcel-id.ts';
import { parcelDecider } from './domain/parcel-stream.ts';
import { writeTraces } from './store/write-traces.ts';
import { openWorld, trace, type World } from './testing/world.ts';

const { PARCEL_STATUS_IN_TRANSIT: IN_TRANSIT, PARCEL_STATUS_DELIVERED: DELIVERED } = ParcelStatus;
const { TRACE_OUTCOME_ACCEPTED, TRACE_OUTCOME_DUPLICATE, TRACE_OUTCOME_REFUSED } = TraceOutcome;
/** May read all parcels. */
const staff = () => testCall();

async function page({ queries }: World, trackingNumber: string): Promise<Parcel | undefined> {
  return queries
    .getParcel({ carrier: 'acme', trackingNumber, readMask: undefined }, staff())
    .catch((error: { code?: string }) => {
      if (error.code === 'NOT_FOUND') return undefined;
      throw error;
    });
}

async function counted({ database }: World, number: string): Promise<number> {
  const rows = await database.query<{ n: number }>({
    text: 'SELECT count(*)::int AS n FROM traces WHERE parcel = $1',
    values: [parcelId('ACME', number)],
  });
  return rows[0]!.n;
}

function tests(world: () => World) {
  const send = (...traces: Trace[]) => world().api.recordTraces({ traces }, testCall());
  /** Waits for a trace that is sent behind others, and then for this many of the parcel: others may be written beside it. */
  async function settled(number: string, traces: number): Promise<void> {
    const mark = `mark${Math.random()}`;
    await send(trace(mark, 0));
    await until(async () => (await page(world(), mark)) !== undefined);
    await until(async () => (await counted(world(), number)) >= traces);
  }

  test('what is accepted and what is written is on disk first, whatever a process does not wait for otherwise', async () => {
    const { database } = world();
    const query = (text: string) => database.query<{ of: string }>({ text });
    await query('CREATE TABLE commits (of text)');
    await query(`CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO commits VALUES (TG_ARGV[0] || ' ' || current_setting('synchronous_commit')); RETURN NEW; END $$`);
    for (const table of ['trace_inbox', 'traces'])
      await query(
        `CREATE TRIGGER note_commit BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION note_commit('${table}')`,
      );
    try {
      await send(trace('disk', 0));
      await until(async () => (await page(world(), 'disk')) !== undefined);
      const found = (await query('SELECT DISTINCT of FROM commits')).map(({ of }) => of);
      expect(found).toContain('traces on');
      expect(found.filter((of) => !of.endsWith(' on'))).toEqual([]);
    } finally {
      for (const table of ['trace_inbox', 'traces']) await query(`DROP TRIGGER note_commit ON ${table}`);
    }
  });

  test('a trace is on its parcel’s page, and each is judged by itself', async () => {
    const wrong = trace('a1', 0, { happenTime: undefined });
    const future = trace('a1', 0, { happenTime: new Date(Date.now() + 2 * 86_400_000) });
    const first = trace('a1', 1, {
      status: IN_TRANSIT,
      detail: 'Left',
      place: { name: 'Lyon', country: 'FR', position: undefined },
    });
    const { results, accepted } = await send(wrong, first, future, first);
    expect(accepted).toBe(1);
    expect(results.map(({ outcome }) => outcome)).toEqual([
      TRACE_OUTCOME_REFUSED,
      TRACE_OUTCOME_ACCEPTED,
      TRACE_OUTCOME_REFUSED,
      TRACE_OUTCOME_DUPLICATE,
    ]);
    expect(results.map(({ reason }) => reason)).toEqual(['HAPPEN_TIME_MISSING', '', 'HAPPENED_IN_FUTURE', '']);
    await until(async () => (await page(world(), 'a1')) !== undefined);
    expect(await page(world(), 'a1')).toMatchObject({
      ...{ carrier: 'ACME', trackingNumber: 'a1', status: IN_TRANSIT, traceCount: 1, shipmentId: '' },
      lastPlace: { name: 'Lyon', country: 'FR' },
      latestTraces: [{ carrier: 'ACME', trackingNumber: 'a1', detail: 'Left', happenTime: first.happenTime }],
    });
  });

  test('repeats, in one call or in many, are written once, however carrier and number are spelled', async () => {
    const once = trace('b 2', 5, { status: IN_TRANSIT });
    await send(once, trace('b 2', 6));
    await send(once);
    await settled('b2', 2);
    // Afterwards: of two workers either could be the first, and its spelling is the parcel's.
    await send({ ...once, carrier: 'acme', trackingNumber: 'B2' });
    await settled('b2', 2);
    expect(await counted(world(), 'b2')).toBe(2);
    expect(await page(world(), 'b2')).toMatchObject({ traceCount: 2, trackingNumber: 'b 2' });
  });

  test('an event that a carrier repeats with a time in another month is known by its id', async () => {
    const event = trace('c3', 0, { eventId: 'E1', detail: 'first' });
    await send(event, trace('c3', 1));
    await settled('c3', 2);
    await send({ ...event, happenTime: new Date(Date.UTC(2026, 7, 1)) });
    await settled('c3', 2);
    // From now on the parcel has traces in two months.
    await send(trace('c3', 0, { eventId: 'E2', happenTime: new Date(Date.UTC(2026, 7, 2)) }));
    await settled('c3', 3);
    await send(trace('c3', 0, { eventId: 'E2', happenTime: new Date(Date.UTC(2026, 9, 3)) }));
    await settled('c3', 3);
    expect(await counted(world(), 'c3')).toBe(3);
  });

  test('a change of status becomes one event, however the traces are divided and ordered', async () => {
    const moves = Array.from({ length: 20 }, (_, index) =>
      trace('d4', index, { status: IN_TRANSIT, detail: `${index}` }),
    );
    const end = trace('d4', 30, { status: DELIVERED });
    await send(end, ...moves.slice(10));
    await Promise.all(moves.map((one) => send(one)));
    await settled('d4', 21);
    const id = parcelId('ACME', 'd4');
    const read = () => world().aggregates.load(parcelDecider, id);
    await until(async () => (await read()).state.status === DELIVERED);
    expect(await page(world(), 'd4')).toMatchObject({ status: DELIVERED, traceCount: 21, statusTime: end.happenTime });
    expect((await page(world(), 'd4'))!.latestTraces[0]).toMatchObject({ status: DELIVERED });
    const rows = () => world().database.query({ text: 'SELECT FROM parcel_changes WHERE parcel = $1', values: [id] });
    await until(async () => (await rows()).length === 0);
    // Two, if the other process was first with what came before.
    expect([1, 2]).toContain((await read()).version);
  });

  test('older traces page from the store, newest first', async () => {
    await send(...Array.from({ length: 130 }, (_, index) => trace('e5', index, { detail: `${index}` })));
    await settled('e5', 130);
    expect((await page(world(), 'e5'))!.latestTraces).toHaveLength(50);
    const seen: string[] = [];
    let pageToken = '';
    do {
      const request = ListTracesRequest.fromPartial({ carrier: 'ACME', trackingNumber: 'e5', pageSize: 60, pageToken });
      const answer = await world().queries.listTraces(request, staff());
      seen.push(...answer.traces.map(({ detail }) => detail));
      pageToken = answer.nextPageToken;
    } while (pageToken);
    expect(seen).toEqual(Array.from({ length: 130 }, (_, index) => `${129 - index}`));
  });
}

describeWith(['postgres'], 'tracking with an inbox in PostgreSQL', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
    world.work();
    // Another process shares the work.
    world.open().work();
  }, 60_000);
  afterAll(() => world?.drop());

  tests(() => world);

  test('parcels are listed by status, carrier, lateness and silence, in pages', async () => {
    const { api, queries } = world;
    const now = Date.now();
    const at = (days: number) => new Date(now + days * 86_400_000);
    const of = (number: string, happenDays: number, etaDays?: number): Trace => ({
      ...trace(number, 0, { status: IN_TRANSIT, eta: etaDays === undefined ? undefined : at(etaDays) }),
      carrier: 'Slow & Co.',
      happenTime: at(happenDays),
    });
    // Silent for ten minutes less than five days, most of the time on the same day.
    const nearly = of('s5', -5 + 10 / 1_440);
    await api.recordTraces(
      { traces: [of('s1', -9, -3), of('s2', -1, -2), of('s3', 0, 5), of('s4', -20), nearly] },
      testCall(),
    );
    const list = async (request: Partial<ListParcelsRequest>) => {
      const numbers: string[] = [];
      let pageToken = '';
      do {
        const full = ListParcelsRequest.fromPartial({ carrier: 'slow co', pageSize: 1, ...request, pageToken });
        const answer = await queries.listParcels(full, staff());
        numbers.push(...answer.parcels.map(({ trackingNumber }) => trackingNumber));
        pageToken = answer.nextPageToken;
      } while (pageToken);
      return numbers;
    };
    await until(async () => (await list({})).length === 5);
    expect((await list({})).toSorted()).toEqual(['s1', 's2', 's3', 's4', 's5']);
    expect(await list({ late: true })).toEqual(['s1', 's2']);
    expect(await list({ silentDays: 5 })).toEqual(['s4', 's1']);
    expect(await list({ status: DELIVERED })).toEqual([]);
    expect(await list({ customerId: 'ada' })).toEqual([]);
    const { nextPageToken: pageToken } = await queries.listParcels(
      ListParcelsRequest.fromPartial({ carrier: 'slow co', pageSize: 1 }),
      staff(),
    );
    await expect(
      queries.listParcels(ListParcelsRequest.fromPartial({ carrier: 'other', pageSize: 1, pageToken }), staff()),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describeWith(['postgres', 'rabbitmq'], 'tracking with a queue in RabbitMQ', () => {
  const rabbit = testBroker();
  let world: World;
  beforeAll(async () => {
    rabbit.owns(['tracking.traces.work'], []);
    world = await openWorld({ broker: rabbit.broker });
    world.work();
  }, 60_000);
  afterAll(async () => {
    await world?.drop();
    await rabbit.close();
  });

  tests(() => world);
});

describeWith(['postgres'], 'the inbox', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld({ maxTraces: 50 });
  }, 60_000);
  afterAll(() => world?.drop());

  test('refuses what is beyond its bound, records nothing of it, and takes more once it is written', async () => {
    const many = (number: string) => Array.from({ length: 30 }, (_, index) => trace(number, index));
    await world.api.recordTraces({ traces: many('f1') }, testCall());
    const refused = await refusalOf(world.api.recordTraces({ traces: many('f2') }, testCall()));
    expect(refused).toEqual({ code: 'RESOURCE_EXHAUSTED', reason: 'TRACE_QUEUE_FULL' });
    const worker = world.work();
    await until(async () => (await counted(world, 'f1')) === 30);
    await until(() =>
      world.api.recordTraces({ traces: many('f2') }, testCall()).then(
        () => true,
        () => false,
      ),
    );
    await until(async () => (await counted(world, 'f2')) === 30);
    await worker.stop();
  });

  test('keeps a batch whose write fails at any statement, and writes it once then', async () => {
    const bodies = Array.from({ length: 10 }, (_, index) =>
      Trace.encode({ ...trace(`g${index % 3}`, index, { status: IN_TRANSIT }), receiveTime: new Date() }).finish(),
    );
    await world.queue.put(bodies);
    const lane = world.queue.lane({ pollMs: 10 });
    const signal = new AbortController().signal;
    for (let failAt = 1; failAt <= 12; failAt++) {
      let statements = 0;
      const taking = lane.take(
        100,
        (tx, batch) =>
          writeTraces(
            {
              query(statement) {
                if (++statements === failAt) throw new Error('killed');
                return tx.query(statement);
              },
            },
            batch,
          ).then(() => {}),
        signal,
      );
      const outcome = await taking.catch((error: Error) => error.message);
      if (outcome !== 'killed') {
        expect(outcome).toBe(10);
        expect(failAt).toBeGreaterThan(5);
        break;
      }
      expect(await counted(world, 'g0')).toBe(0);
    }
    expect(await Promise.all(['g0', 'g1', 'g2'].map((number) => counted(world, number)))).toEqual([4, 3, 3]);
    expect(await lane.take(100, async () => {}, signal)).toBe(0);
    expect(await page(world, 'g0')).toMatchObject({ traceCount: 4 });
  });

  test('two writers of the same traces at the same time write them once', async () => {
    const traces = Array.from({ length: 200 }, (_, index) => trace(`h${index % 20}`, index));
    const bodies = traces.map((one) => Trace.encode(one).finish());
    await Promise.all(
      [bodies, bodies.toReversed(), bodies.slice(50)].map((batch) =>
        world.database.transaction((tx) => writeTraces(tx, batch)),
      ),
    );
    const counts = await Promise.all(Array.from({ length: 20 }, (_, index) => counted(world, `h${index}`)));
    expect(counts).toEqual(Array.from({ length: 20 }, () => 10));
    expect(await page(world, 'h7')).toMatchObject({ traceCount: 10 });
  });
});

describe('the id of a parcel', () => {
  test('is that of its carrier and number, however they are spelled', () => {
    expect(parcelId('DHL Express', 'jd 01')).toBe(parcelId('dhl-express', 'JD01'));
    expect(parcelId('DHL', '1')).not.toBe(parcelId('DHL1', ''));
  });
});
