/** Any order, repetition and division of traces, with batches that fail on the way, gives the same rows. */
import { ParcelStatus, type Place, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { writeTraces } from './store/write-traces.ts';
import { openWorld, trace, type World } from './testing/world.ts';

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

const received = new Date('2026-11-01T00:00:00Z');
const statuses = Object.values(ParcelStatus);

/** With or without a position. */
function placeOf(random: () => number): Place {
  const at = () => Math.floor(random() * 1_000);
  return {
    ...{ name: `Depot ${at()}`, country: '' },
    position: random() < 0.7 ? { latitudeE7: at(), longitudeE7: at() } : undefined,
  };
}

/** Traces of six parcels over two months, some with ids. */
function history(random: () => number): Trace[] {
  return Array.from({ length: 240 }, (_, index) =>
    trace(`p${index % 6}`, Math.floor(random() * 60 * 24 * 55) - 60 * 24 * 25, {
      status: statuses[Math.floor(random() * statuses.length)]!,
      detail: `${index}`,
      eventId: random() < 0.3 ? `E${index}` : '',
      receiveTime: received,
      place: random() < 0.5 ? placeOf(random) : undefined,
      eta: random() < 0.2 ? new Date(Date.UTC(2026, 10, 1 + Math.floor(random() * 20))) : undefined,
    }),
  );
}

/** What the rows say, without what tells of how they were written. */
async function rowsOf({ database }: World) {
  const rows = await database.query<{ state: string }>({
    text: `SELECT parcel::text, tracking_number, status, done, first_at, last_at, last_day::text, eta, traces, state, place::text, latitude_e7, longitude_e7, words,
        (SELECT count(*)::int FROM traces t WHERE t.parcel = p.parcel) AS stored
      FROM parcels p JOIN parcel_places USING (parcel) ORDER BY parcel`,
  });
  return rows.map((row) => ({ ...row, state: JSON.parse(row.state) }));
}

describeWith(['postgres'], 'traces', () => {
  const worlds: World[] = [];
  beforeAll(async () => {
    worlds.push(await openWorld(), await openWorld());
  }, 120_000);
  afterAll(() => Promise.all(worlds.map((world) => world.drop())));

  test.each([1, 2, 3])(
    'in any order, repeated and divided, come to the same parcels: seed %i',
    async (seed) => {
      const [ordered, other] = worlds as [World, World];
      for (const { database } of worlds)
        await database.query({ text: 'TRUNCATE traces, parcels, parcel_places, parcel_changes' });
      const random = randomFrom(seed);
      const traces = history(random);
      const encoded = traces.map((one) => Trace.encode(one).finish());
      await ordered.database.transaction((tx) => writeTraces(tx, encoded));

      const left = shuffled([...encoded, ...encoded.filter(() => random() < 0.5)], random);
      while (left.length > 0) {
        const batches = Array.from({ length: 3 }, () => left.splice(0, 1 + Math.floor(random() * 40)));
        // At the same time, some with a crash before the commit: those are written again.
        await Promise.all(
          batches.map(async (batch) => {
            const crash = random() < 0.3;
            // Also a parcel at a time, without its state at first.
            const slices = random() < 0.5 ? { stateBytes: 1_000 } : {};
            const write = (fails: boolean) =>
              other.database.transaction(async (tx) => {
                await writeTraces(tx, batch, slices);
                if (fails) throw new Error('killed');
              });
            if (crash) await expect(write(true)).rejects.toThrow('killed');
            await write(false);
          }),
        );
      }
      const rows = await rowsOf(other);
      expect(rows).toEqual(await rowsOf(ordered));
      expect(rows.map(({ stored, traces: counted }: Record<string, unknown>) => stored === counted)).toEqual(
        Array.from({ length: 6 }, () => true),
      );
      expect(rows).toHaveLength(6);
    },
    60_000,
  );
});
