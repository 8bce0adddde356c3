/** What a process remembers of parcels: whom it shows it, for how long, and what is read past it. */
import type { TrackingQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, type TestCallOptions, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { openWorld, trace, type World } from '../testing/world.ts';
import { pageMs } from './remembered.ts';
import { trackingQueryService } from './tracking-query-service.ts';

const carrier = 'ACME';
let numbers = 0;

describeWith(['postgres'], 'pages that a process remembers', () => {
  let world: World;
  let trackingNumber: string;
  let statements: string[];
  let queries: Handlers<typeof TrackingQueryServiceService>;

  beforeAll(async () => {
    world = await openWorld();
    world.work();
  });
  afterAll(() => world.drop());

  const write = async (minutes: number, detail: string) => {
    await world.api.recordTraces({ traces: [trace(trackingNumber, minutes, { status: 4, detail })] }, testCall());
    for (;;) {
      const [row] = await world.database.query<{ n: string }>({
        text: 'SELECT count(*) AS n FROM traces WHERE parcel = (SELECT parcel FROM parcels WHERE tracking_number = $1)',
        values: [trackingNumber],
      });
      if (Number(row!.n) > minutes) return;
    }
  };
  const get = (options: TestCallOptions & { readStrength?: 'STRONG' } = {}) => {
    const call = { ...testCall(options), readStrength: options.readStrength };
    return queries.getParcel({ carrier, trackingNumber, readMask: undefined }, call);
  };

  beforeEach(async () => {
    trackingNumber = `MEM${++numbers}`;
    await write(0, 'first');
    statements = [];
    const query: typeof world.database.query = (statement) => {
      statements.push(statement.name ?? statement.text);
      return world.database.query(statement);
    };
    const service = trackingQueryService({
      database: { ...world.database, query },
      clock: systemClock,
      archive: undefined,
    });
    queries = service.handlers as unknown as typeof queries;
  });

  test('many looks at one page are one read of its row and one of its lane', async () => {
    const looks = await Promise.all(Array.from({ length: 20 }, () => get()));
    expect(new Set(looks).size).toBe(1);
    expect(looks[0]).toMatchObject({ trackingNumber, traceCount: 1, latestTraces: [{ detail: 'first' }] });
    expect(statements.sort()).toEqual(['tracking-pages', 'tracking-sketches']);
  });

  test('what was learnt of a lane is read once for its parcels', async () => {
    await get();
    const other = trackingNumber;
    trackingNumber = `MEM${++numbers}`;
    await write(0, 'first');
    statements.length = 0;
    expect((await get()).trackingNumber).not.toBe(other);
    expect(statements).toEqual(['tracking-pages']);
  });

  test('a page is behind for no longer than pageMs; a strong read is not at all', async () => {
    await get();
    await write(1, 'second');
    expect((await get({ readStrength: 'STRONG' })).traceCount).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, pageMs + 5));
    expect((await get()).traceCount).toBe(2);
  });

  test('each caller is asked for the right to it, and one that is missing is not remembered', async () => {
    await get();
    expect(await refusalOf(get({ subject: 'mallory' }))).toEqual({ code: 'PERMISSION_DENIED', reason: 'NOT_OWNER' });
    const known = trackingNumber;
    trackingNumber = 'NEVER';
    statements.length = 0;
    expect((await refusalOf(get())).code).toBe('NOT_FOUND');
    expect((await refusalOf(get())).code).toBe('NOT_FOUND');
    expect(statements).toEqual(['tracking-pages', 'tracking-pages']);
    trackingNumber = known;
    expect((await get()).trackingNumber).toBe(known);
  });
});
