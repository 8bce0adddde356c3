import {
  type Parcel,
  ParcelStatus,
  SearchParcelsRequest,
  Trace,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parcelId } from '../domain/parcel-id.ts';
import { metresBetween } from '../domain/places/distance.ts';
import { canonical, type Point } from '../domain/places/point.ts';
import { polygonOf } from '../domain/places/polygon.ts';
import { linkParcel } from '../store/link-parcel.ts';
import { fillPlaces } from '../store/parcel-places.ts';
import { writeTraces } from '../store/write-traces.ts';
import { points } from '../testing/points.ts';
import { openWorld, trace, type World } from '../testing/world.ts';

const { PARCEL_STATUS_IN_TRANSIT: IN_TRANSIT, PARCEL_STATUS_DELIVERED: DELIVERED } = ParcelStatus;

interface Sent {
  number: string;
  carrier: string;
  status: ParcelStatus;
  customer: string;
  name: string;
  /** Undefined: its last place has no position. */
  at: Point | undefined;
}

const names = ['Lyon Hub 3', 'Paris-Roissy', '東京 depot', ''];

describeWith(['postgres'], 'a search for parcels', () => {
  let world: World;
  let sent: Sent[];
  let minutes = 0;

  beforeAll(async () => {
    world = await openWorld();
    const places = fc.sample(points, { numRuns: 400, seed: 7 });
    sent = places.map((at, place) => ({
      number: `${place % 2 ? 'AB' : 'ab c'}${1000 + place}`,
      carrier: ['Acme Express', 'acme-express', 'Slow & Co.'][place % 3]!,
      status: place % 4 === 0 ? DELIVERED : IN_TRANSIT,
      customer: ['', 'ada', 'bob'][place % 5] ?? '',
      name: names[place % names.length]!,
      at: place % 10 === 9 ? undefined : canonical(at),
    }));
    await say(sent);
    for (const customer of ['ada', 'bob'])
      await world.database.query({
        text: 'UPDATE parcels SET customer = $1 WHERE parcel = ANY ($2::uuid[])',
        values: [customer, sent.filter((one) => one.customer === customer).map(idOf)],
      });
  }, 60_000);
  afterAll(() => world?.drop());

  const idOf = ({ carrier, number }: Sent) => parcelId(carrier, number);

  /** Writes a trace of each. */
  async function say(all: Sent[]): Promise<void> {
    const receiveTime = new Date();
    const bodies = all.map(({ number, carrier, status, name, at }) => {
      const place = { name, country: '', position: at };
      return Trace.encode({ ...trace(number, minutes++, { status, place, receiveTime }), carrier }).finish();
    });
    await world.database.transaction((tx) => writeTraces(tx, bodies));
  }

  const search = (request: Partial<SearchParcelsRequest>) =>
    world.queries.searchParcels(SearchParcelsRequest.fromPartial(request), testCall());

  /** All pages. `between`: what happens after each. */
  async function walk(request: Partial<SearchParcelsRequest>, between = async () => {}): Promise<Parcel[]> {
    const found: Parcel[] = [];
    for (let pageToken = ''; ; ) {
      const page = await search({ pageSize: 100, ...request, pageToken });
      expect(page.parcels.length).toBeLessThanOrEqual(request.pageSize ?? 100);
      found.push(...page.parcels);
      pageToken = page.nextPageToken;
      if (!pageToken) return found;
      expect(found.length).toBeLessThan(10_000);
      await between();
    }
  }
  const numbersOf = (parcels: { trackingNumber: string }[]) => parcels.map(({ trackingNumber }) => trackingNumber);
  const wanted = (wants: (one: Sent) => boolean) =>
    sent
      .filter(wants)
      .map(({ number }) => number)
      .sort();

  test('within a distance finds what is there, the nearest first, wherever that is', async () => {
    const distances = fc.oneof(
      fc.integer({ min: 1, max: 20_100_000 }),
      fc.integer({ min: 1, max: 5_000 }),
      // To a parcel exactly, and a metre less.
      fc.tuple(fc.nat(399), fc.constantFrom(0, -1)),
    );
    await fc.assert(
      fc.asyncProperty(points, distances, fc.integer({ min: 30, max: 100 }), async (center, distance, pageSize) => {
        const exact = Array.isArray(distance) ? sent[distance[0]]!.at : undefined;
        const metres = Array.isArray(distance)
          ? Math.max(1, exact ? metresBetween(center, exact) + distance[1] : 1)
          : distance;
        const found = await walk({ pageSize, withinDistance: { center, distanceMetres: metres } });
        const near = ({ at }: Sent) => at !== undefined && metresBetween(center, at) <= metres;
        expect(numbersOf(found).sort()).toEqual(wanted(near));
        const shown = found.map(({ distanceMetres }) => distanceMetres!);
        expect(shown).toEqual(shown.toSorted((a, b) => a - b));
        for (const { distanceMetres, lastPlace } of found)
          expect(distanceMetres).toBe(metresBetween(center, lastPlace!.position!));
      }),
      { numRuns: 60 },
    );
  }, 120_000);

  test('in a box finds what is in it, borders included, across the antimeridian and up to the poles', async () => {
    const corners = fc.tuple(points, points, fc.boolean(), fc.nat(399));
    await fc.assert(
      fc.asyncProperty(corners, async ([one, other, flip, place]) => {
        // Often with a parcel on the border.
        const corner = sent[place]!.at ?? other;
        const south = Math.min(one.latitudeE7, corner.latitudeE7);
        const north = Math.max(one.latitudeE7, corner.latitudeE7);
        const [west, east] = flip ? [one.longitudeE7, corner.longitudeE7] : [corner.longitudeE7, one.longitudeE7];
        const southWest = { latitudeE7: south, longitudeE7: west };
        const northEast = { latitudeE7: north, longitudeE7: east };
        const found = await walk({ withinBox: { southWest, northEast } });
        const isIn = ({ at }: Sent) => {
          if (!at || at.latitudeE7 < south || at.latitudeE7 > north) return false;
          if (Math.abs(at.latitudeE7) === 900_000_000) return true;
          // -180 degrees is 180.
          const same = at.longitudeE7 === -1_800_000_000 ? [-1_800_000_000, 1_800_000_000] : [at.longitudeE7];
          return same.some((x) => (west <= east ? west <= x && x <= east : x >= west || x <= east));
        };
        expect(numbersOf(found).sort()).toEqual(wanted(isIn));
      }),
      { numRuns: 60 },
    );
  }, 120_000);

  test('in a polygon finds what is in it', async () => {
    const spokes = fc.array(fc.tuple(fc.nat(359), fc.integer({ min: 1, max: 30 })), { minLength: 3, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.nat(399), spokes, async (place, given) => {
        const center = sent[place]!.at ?? { latitudeE7: 0, longitudeE7: 1_790_000_000 };
        // A star around a parcel, which may reach across the antimeridian.
        const lengths = new Map(given);
        const star = [...lengths].toSorted(([a], [b]) => a - b);
        const corners = star.map(([angle, length]) => ({
          x: center.longitudeE7 + Math.round(Math.cos((angle * Math.PI) / 180) * length * 1e7),
          y: center.latitudeE7 + Math.round(Math.sin((angle * Math.PI) / 180) * length * 1e7),
        }));
        fc.pre(corners.length >= 3 && corners.every(({ y }) => Math.abs(y) <= 900_000_000));
        const around = corners.map(({ x, y }) => ({
          latitudeE7: y,
          longitudeE7: x > 1_800_000_000 ? x - 3_600_000_000 : x < -1_800_000_000 ? x + 3_600_000_000 : x,
        }));
        fc.pre('contains' in polygonOf(around));
        const found = await walk({ withinPolygon: { points: around } });
        const isIn = ({ at }: Sent) =>
          at !== undefined &&
          (Math.abs(at.latitudeE7) === 900_000_000
            ? corners.some(({ y }) => y === at.latitudeE7)
            : [-3_600_000_000, 0, 3_600_000_000].some((turn) =>
                surrounds(corners, at.longitudeE7 + turn, at.latitudeE7),
              ));
        expect(numbersOf(found).sort()).toEqual(wanted(isIn));
      }),
      { numRuns: 60 },
    );
  }, 120_000);

  test('combines places with status, carrier, customer, number and words', async () => {
    const everywhere = { center: { latitudeE7: 0, longitudeE7: 0 }, distanceMetres: 20_100_000 };
    const conditions: [Partial<SearchParcelsRequest>, (one: Sent) => boolean][] = [
      [{ status: DELIVERED }, ({ status }) => status === DELIVERED],
      [{ carrier: 'ACME EXPRESS' }, ({ carrier }) => /^acme/i.test(carrier)],
      [{ customerId: 'ada' }, ({ customer }) => customer === 'ada'],
      [{ trackingNumber: 'a b' }, ({ number }) => number.startsWith('AB')],
      [{ trackingNumber: 'ABC10' }, ({ number }) => number.startsWith('ab c10')],
      [{ place: 'lyon' }, ({ name }) => name.startsWith('Lyon')],
      [{ place: 'hub lyo' }, ({ name }) => name.startsWith('Lyon')],
      [{ place: '東京' }, ({ name }) => name.startsWith('東京')],
      [{ place: '★' }, () => false],
      [{ place: 'marseille' }, () => false],
    ];
    for (const [request, wants] of conditions) {
      const condition = JSON.stringify(request);
      expect([condition, numbersOf(await walk(request)).sort()]).toEqual([
        condition,
        wanted(numberWants(request, wants)),
      ]);
      const near = await walk({ ...request, withinDistance: everywhere });
      const isNear = (one: Sent) => one.at !== undefined && numberWants(request, wants)(one);
      expect([condition, numbersOf(near).sort()]).toEqual([condition, wanted(isNear)]);
    }
    const [first, second, third] = conditions as [
      (typeof conditions)[0],
      (typeof conditions)[0],
      (typeof conditions)[0],
    ];
    expect(numbersOf(await walk({ ...first[0], ...second[0], ...third[0] })).sort()).toEqual(
      wanted((one) => first[1](one) && second[1](one) && third[1](one)),
    );
  }, 60_000);

  /** Both spellings begin with AB. */
  function numberWants({ trackingNumber }: Partial<SearchParcelsRequest>, wants: (one: Sent) => boolean) {
    return trackingNumber === 'a b' ? () => true : wants;
  }

  test.each(['place', 'tracking_number', 'create_time desc', 'last_trace_time desc', 'distance'])(
    'in the order %s gives each parcel once, and each page goes on behind the one before',
    async (orderBy) => {
      const withinDistance = {
        center: { latitudeE7: 457_640_000, longitudeE7: 48_357_000 },
        distanceMetres: 12_000_000,
      };
      const near = ({ at }: Sent) => at !== undefined && metresBetween(withinDistance.center, at) <= 12_000_000;
      const found = await walk({ withinDistance, orderBy, pageSize: 7 });
      expect(numbersOf(found).sort()).toEqual(wanted(near));
      expect(numbersOf(await walk({ withinDistance, orderBy }))).toEqual(numbersOf(found));
      if (orderBy !== 'last_trace_time desc') return;
      const times = found.map(({ lastTraceTime }) => lastTraceTime!.getTime());
      expect(times).toEqual(times.toSorted((a, b) => b - a));
    },
    60_000,
  );

  test('refuses what makes no sense, and names the field', async () => {
    const point = { latitudeE7: 0, longitudeE7: 0 };
    const withinDistance = { center: point, distanceMetres: 100 };
    const withinBox = { southWest: point, northEast: { latitudeE7: 1, longitudeE7: 1 } };
    const bowTie = [
      point,
      { latitudeE7: 9, longitudeE7: 9 },
      { latitudeE7: 0, longitudeE7: 9 },
      { latitudeE7: 9, longitudeE7: 0 },
    ];
    const { nextPageToken: pageToken } = await search({ pageSize: 1 });
    const cases: [Partial<SearchParcelsRequest>, string][] = [
      [{ withinDistance, withinBox }, 'within_box'],
      [{ withinBox, withinPolygon: { points: bowTie } }, 'within_polygon'],
      [{ withinPolygon: { points: bowTie } }, 'within_polygon.points'],
      [{ withinPolygon: { points: [point, point, { latitudeE7: 1, longitudeE7: 1 }] } }, 'within_polygon.points[1]'],
      [{ withinBox: { southWest: withinBox.northEast, northEast: point } }, 'within_box.north_east'],
      [{ withinBox, orderBy: 'distance' }, 'order_by'],
      [{ orderBy: 'place' }, 'order_by'],
      [{ orderBy: 'price' }, 'order_by'],
      [{ withinDistance, pageToken }, 'page_token'],
      [{ customerId: 'ada', pageToken }, 'page_token'],
      [{ pageToken: 'x' }, 'page_token'],
    ];
    for (const [request, field] of cases)
      await expect(search(request)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field }] });
  });

  test('parcels that stay where they are come once, while others move', async () => {
    const moving = sent.filter((_, place) => place % 3 === 0);
    const staying = new Set(sent.filter((_, place) => place % 3 !== 0).map(({ number }) => number));
    const withinDistance = { center: { latitudeE7: 100, longitudeE7: 1_799_999_000 }, distanceMetres: 15_000_000 };
    for (const orderBy of ['distance', 'place', 'create_time desc', 'tracking_number']) {
      let round = 0;
      const found = await walk({ withinDistance, orderBy, pageSize: 20 }, async () => {
        const some = moving.slice((round % 10) * 12, (round % 10) * 12 + 12);
        const elsewhere = fc.sample(points, { numRuns: some.length, seed: round });
        some.forEach((one, place) => {
          one.at = canonical(elsewhere[place]!);
        });
        round++;
        await say(some);
      });
      const near = ({ at, number }: Sent) =>
        staying.has(number) && at !== undefined && metresBetween(withinDistance.center, at) <= 15_000_000;
      expect([
        orderBy,
        numbersOf(found)
          .filter((number) => staying.has(number))
          .sort(),
      ]).toEqual([orderBy, wanted(near)]);
    }
  }, 60_000);

  test('parcels that were there before are searchable once the job has stored their places', async () => {
    const { database } = world;
    const withinDistance = { center: { latitudeE7: 0, longitudeE7: 0 }, distanceMetres: 20_100_000 };
    const before = numbersOf(await walk({ withinDistance }));
    await database.query({ text: 'DELETE FROM parcel_places' });
    expect(await walk({ withinDistance })).toEqual([]);
    expect(await database.transaction(fillPlaces)).toBe(true);
    await database.query({
      text: `UPDATE parcel_places_filled SET done = false, up_to = '00000000-0000-0000-0000-000000000000'`,
    });
    // 400 parcels are two steps, and a last one that finds none.
    const steps: boolean[] = [];
    do steps.push(await database.transaction(fillPlaces));
    while (!steps.at(-1));
    expect(steps).toEqual([false, false, true]);
    expect(numbersOf(await walk({ withinDistance }))).toEqual(before);
    expect(numbersOf(await walk({ trackingNumber: 'abc' })).length).toBe(200);
  }, 60_000);

  test('a parcel of a shipment without a trace is found by its number, and ends with its row', async () => {
    const { database } = world;
    const id = parcelId('acme', 'LINKED1');
    await linkParcel(database, id, {
      shipment: {
        ...{ carrier: 'acme', trackingNumber: 'linked 1', shipmentId: 's', orderId: 'o', customerId: 'cleo' },
        shipmentVersion: 1,
      },
      destination: undefined,
      asked: new Set(),
      now: new Date(),
    });
    expect(numbersOf(await walk({ trackingNumber: 'linked', customerId: 'cleo' }))).toEqual(['linked 1']);
    expect(numbersOf(await walk({ trackingNumber: 'linked', customerId: 'ada' }))).toEqual([]);
    await database.query({ text: 'DELETE FROM parcels WHERE parcel = $1', values: [id] });
    expect(await walk({ trackingNumber: 'linked' })).toEqual([]);
  });
});

/** Even-odd rule with exact numbers, borders included: another way than the one of the search. */
function surrounds(corners: { x: number; y: number }[], px: number, py: number): boolean {
  let isInside = false;
  for (const [place, a] of corners.entries()) {
    const b = corners[(place + 1) % corners.length]!;
    const cross = BigInt(b.x - a.x) * BigInt(py - a.y) - BigInt(b.y - a.y) * BigInt(px - a.x);
    const isBeside = Math.min(a.x, b.x) <= px && px <= Math.max(a.x, b.x);
    const isOnBorder = cross === 0n && isBeside && Math.min(a.y, b.y) <= py && py <= Math.max(a.y, b.y);
    if (isOnBorder) return true;
    if (a.y > py !== b.y > py && cross > 0n === b.y > a.y) isInside = !isInside;
  }
  return isInside;
}
