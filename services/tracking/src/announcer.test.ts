/** Two announcers, and a status that is taken back while the first one is late: the log's last status is the parcel's. */
import { ParcelStatus, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { startAnnouncer } from './announcer.ts';
import { parcelId } from './domain/parcel-id.ts';
import { parcelDecider } from './domain/parcel-stream.ts';
import { writeTraces } from './store/write-traces.ts';
import { openWorld, trace, type World } from './testing/world.ts';

const { PARCEL_STATUS_OUT_FOR_DELIVERY: OUT, PARCEL_STATUS_EXCEPTION: EXCEPTION } = ParcelStatus;
const receiveTime = new Date('2026-11-01T00:00:00Z');

describeWith(['postgres'], 'announcers', () => {
  let world: World;
  const stopping: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    world = await openWorld();
  }, 60_000);
  afterEach(async () => {
    for (const stop of stopping.splice(0)) await stop();
  });
  afterAll(() => world?.drop());

  const say = (number: string, minutes: number, status: ParcelStatus) =>
    world.database.transaction((tx) =>
      writeTraces(tx, [Trace.encode(trace(number, minutes, { status, receiveTime })).finish()]),
    );

  /** An announcer of its own process. It appends nothing before `held` has resolved; `looks` counts what it has taken, or found nothing to take. */
  function announce(held: () => Promise<void> = async () => {}) {
    const { database, aggregates } = world.open();
    const counts = { looks: 0, appends: 0 };
    const counting: Database = {
      ...database,
      async query(query) {
        const rows = await database.query<never>(query);
        if (query.name === 'tracking-take-changes') counts.looks++;
        return rows;
      },
    };
    const late: typeof aggregates = {
      ...aggregates,
      async execute(command) {
        counts.appends++;
        await held();
        return aggregates.execute(command);
      },
    };
    const announcer = startAnnouncer({ database: counting, aggregates: late, ids: newId, everyMs: 20 });
    stopping.push(() => announcer.stop());
    return counts;
  }

  const isEmpty = async () => (await world.database.query({ text: 'SELECT FROM parcel_changes' })).length === 0;
  const stream = (number: string) => world.aggregates.load(parcelDecider, parcelId('ACME', number));

  /** The first announcer is about to add EXCEPTION, which has been taken back; `meanwhile`, the second one runs. */
  async function takenBack(number: string, meanwhile: (second: { looks: number }) => Promise<void>) {
    const gate = Promise.withResolvers<void>();
    let isHeld = false;
    const first = announce(() => (isHeld ? gate.promise : Promise.resolve()));
    await say(number, 0, OUT);
    await until(isEmpty);
    expect((await stream(number)).state.status).toBe(OUT);
    isHeld = true;
    const before = first.appends;
    await say(number, 10, EXCEPTION);
    await until(() => first.appends > before);
    await say(number, 20, OUT);
    await meanwhile(announce());
    const { looks } = first;
    isHeld = false;
    gate.resolve();
    // It looks for the next ones once it has dealt with what it had.
    await until(() => first.looks > looks);
    await until(isEmpty);
    const { state, version } = await stream(number);
    expect(state.status).toBe(OUT);
    // OUT, EXCEPTION, OUT.
    expect(version).toBe(3);
  }

  test('leave a change to the one that is late with the change before', async () => {
    await takenBack('late', (second) => until(() => second.looks >= 3));
  });

  test('make it good if the time of the late one is over', async () => {
    await takenBack('over', async () => {
      await world.database.query({ text: `UPDATE parcel_changes SET taken_until = '-infinity'` });
      await until(isEmpty);
    });
  });
});
