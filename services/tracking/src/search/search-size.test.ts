/** A search looks at few parcels by an index, however many there are. */

import { ListParcelsRequest, SearchParcelsRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Statement } from '@caudal/postgres/database.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parcelId } from '../domain/parcel-id.ts';
import { cellsOver, rangesOf } from '../domain/places/cells.ts';
import { rectsAround } from '../domain/places/distance.ts';
import type { Point } from '../domain/places/point.ts';
import { lookStatement } from '../queries/list-parcels.ts';
import { writePlaces } from '../store/parcel-places.ts';
import { openWorld, type World } from '../testing/world.ts';
import { openBudget } from './budget.ts';
import { byNumber, inRange, newestFirst, noParcel } from './candidates.ts';
import { nearest } from './nearest.ts';
import { orderNamed, type Place } from './orders.ts';

const parcels = 100_000;
const lyon: Point = { latitudeE7: 457_640_000, longitudeE7: 48_357_000 };
/** Of so many parcels the last trace is from the same depot. */
const inDepot = 5_000;

/** Numbers that look random and are the same in each run. */
function random(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43_758.5453;
  return x - Math.floor(x);
}

/** A third in a city, a third in its country, a third anywhere; and a depot. */
function pointOf(place: number): Point {
  if (place < inDepot) return { latitudeE7: lyon.latitudeE7 + 50_000, longitudeE7: lyon.longitudeE7 };
  const spread = [0.1, 4, 80][place % 3]!;
  return {
    latitudeE7: Math.round(lyon.latitudeE7 * (spread > 40 ? 0 : 1) + (random(place) - 0.5) * 2 * spread * 1e7),
    longitudeE7: Math.round(lyon.longitudeE7 + (random(place + 0.5) - 0.5) * 4 * spread * 1e7),
  };
}

interface PlanNode {
  'Node Type': string;
  'Index Name'?: string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  Plans?: PlanNode[];
}

describeWith(['postgres'], 'a search among 100,000 parcels', () => {
  let world: World;

  beforeAll(async () => {
    world = await openWorld();
    const { database } = world;
    for (let from = 0; from < parcels; from += 10_000) {
      const batch = Array.from({ length: 10_000 }, (_, index) => {
        const place = from + index;
        const { latitudeE7, longitudeE7 } = pointOf(place);
        return {
          ...{ parcel: parcelId('acme', `N${place}`), trackingNumber: `N${place}` },
          place: { latitude: latitudeE7 / 1e7, longitude: longitudeE7 / 1e7 },
        };
      });
      await database.transaction(async (tx) => {
        await tx.query({
          text: `INSERT INTO parcels (parcel, carrier, carrier_key, tracking_number, status)
            SELECT parcel, 'acme', 'acme', number, 2 + row_number() OVER () % 4 FROM unnest($1::uuid[], $2::text[]) u(parcel, number)`,
          values: [
            uuidArray(batch.map(({ parcel }) => parcel)),
            textArray(batch.map(({ trackingNumber }) => trackingNumber)),
          ],
        });
        await writePlaces(tx, batch);
      });
    }
    await database.query({ text: 'ANALYZE parcels, parcel_places' });
  }, 120_000);
  afterAll(() => world?.drop());

  /** The parts of a plan that read a table, with the rows that they have read. */
  async function scansOf({ text, values = [] }: Statement) {
    const [row] = await world.database.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>({
      text: `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
      values,
    });
    const scans: { type: string; index: string | undefined; rows: number }[] = [];
    const visit = (node: PlanNode) => {
      const rows = node['Actual Rows'] * node['Actual Loops'];
      if (/Scan/.test(node['Node Type']) && node['Node Type'] !== 'Subquery Scan')
        scans.push({ type: node['Node Type'], index: node['Index Name'], rows });
      for (const inner of node.Plans ?? []) visit(inner);
    };
    visit(row!['QUERY PLAN'][0]!.Plan);
    return scans;
  }

  test('each statement reads its limit by an index, and no more', async () => {
    const [range] = rangesOf(cellsOver(rectsAround(lyon, 2_000_000), 1));
    const statements: [string, Statement][] = [
      ['parcel_places_place_parcel_idx', inRange(range!, { after: noParcel, limit: 200 })],
      ['parcel_places_number_key_parcel_idx', byNumber('N1', { limit: 200 })],
      ['parcel_places_number_key_parcel_idx', byNumber('N', { after: ['N5', parcelId('acme', 'N5')], limit: 200 })],
      ['parcels_created_at_parcel_idx', newestFirst(undefined, { limit: 200 })],
      [
        'parcels_carrier_key_created_at_parcel_idx',
        newestFirst({ column: 'carrier_key', value: 'acme' }, { limit: 200 }),
      ],
      ['parcels_status_created_at_parcel_idx', newestFirst({ column: 'status', value: 2 }, { limit: 200 })],
    ];
    for (const [index, statement] of statements) {
      const scans = await scansOf(statement);
      expect([index, scans.map((scan) => scan.index)]).toEqual([index, expect.arrayContaining([index])]);
      expect([index, scans.filter(({ type }) => type === 'Seq Scan')]).toEqual([index, []]);
      expect([index, Math.max(...scans.map(({ rows }) => rows))]).toEqual([index, 200]);
    }
  });

  test('a list reads its limit by its index as well, also with conditions that nothing meets', async () => {
    const { database, queries } = world;
    await database.query({
      text: `UPDATE parcels SET last_at = created_at - interval '40 days', last_day = (created_at - interval '40 days')::date,
        eta = created_at - interval '30 days' WHERE status = 3`,
    });
    await database.query({ text: 'ANALYZE parcels' });
    const now = new Date();
    const lists: [string, Partial<ListParcelsRequest>][] = [
      ['parcels_created_at_parcel_idx', {}],
      ['parcels_status_created_at_parcel_idx', { status: 2 }],
      ['parcels_carrier_key_created_at_parcel_idx', { carrier: 'acme', status: 6 }],
      ['parcels_eta_parcel_idx', { late: true, status: 7, silentDays: 1 }],
      ['parcels_last_day_parcel_idx', { silentDays: 1, status: 7 }],
    ];
    for (const [index, list] of lists) {
      const request = ListParcelsRequest.fromPartial(list);
      const statement = lookStatement(request, { now, after: undefined, limit: 400 });
      expect([index, await scansOf(statement)]).toEqual([index, [expect.objectContaining({ index, rows: 400 })]]);
    }
    const pages: number[] = [];
    for (let pageToken = ''; ; ) {
      const page = await queries.listParcels(
        ListParcelsRequest.fromPartial({ silentDays: 1, status: 7, pageToken }),
        testCall(),
      );
      pages.push(page.parcels.length);
      pageToken = page.nextPageToken;
      if (!pageToken) break;
    }
    // 25,000 are silent, and none of them is delivered.
    expect(pages).toEqual([0, 0, 0]);
  }, 60_000);

  test('the nearest are found with few looks, on the first page and on later ones, and each parcel of a depot once', async () => {
    const order = orderNamed('distance', { center: lyon, metres: 300_000 });
    const costs: number[] = [];
    const seen = new Set<string>();
    let after: Place | undefined;
    for (let page = 0; page < 80; page++) {
      const { found, next } = await world.database.transaction(async (tx) => {
        const budget = openBudget(tx, 10_000);
        const circle = { center: lyon, metres: 300_000 };
        const walked = await nearest(circle, { order, after, wants: () => true, limit: 100, budget });
        costs.push(10_000 - budget.left());
        return walked;
      });
      for (const { parcel } of found) {
        expect(seen.has(parcel)).toBe(false);
        seen.add(parcel);
      }
      after = next;
      expect(after).toBeDefined();
    }
    expect(seen.size).toBeGreaterThan(7_000);
    expect(
      Array.from({ length: inDepot }, (_, place) => parcelId('acme', `N${place}`)).every((id) => seen.has(id)),
    ).toBe(true);
    expect(costs[0]).toBeLessThan(3_000);
    expect(Math.max(...costs)).toBeLessThan(9_000);
  }, 60_000);

  test('pages whose conditions few parcels meet are short, and come to the end', async () => {
    const { database, queries } = world;
    // Three of them are delivered.
    const rare = ['N7', 'N50000', 'N99999'];
    await database.query({
      text: 'UPDATE parcels SET status = 7 WHERE parcel = ANY ($1::uuid[])',
      values: [uuidArray(rare.map((number) => parcelId('acme', number)))],
    });
    const everywhere = {
      southWest: { latitudeE7: -9e8, longitudeE7: -18e8 },
      northEast: { latitudeE7: 9e8, longitudeE7: 18e8 },
    };
    const found: string[] = [];
    const sizes: number[] = [];
    for (let pageToken = ''; ; ) {
      const request = SearchParcelsRequest.fromPartial({ withinBox: everywhere, status: 7, pageToken });
      const page = await queries.searchParcels(request, testCall());
      sizes.push(page.parcels.length);
      found.push(...page.parcels.map(({ trackingNumber }) => trackingNumber));
      pageToken = page.nextPageToken;
      if (!pageToken) break;
    }
    expect(found.sort()).toEqual(rare.toSorted());
    expect(sizes.length).toBeGreaterThanOrEqual(parcels / 10_000);
    expect(sizes.length).toBeLessThan(20);
  }, 60_000);

  test('too many to sort by their last trace are refused, with what to do', async () => {
    const withinDistance = { center: lyon, distanceMetres: 1_000_000 };
    const request = SearchParcelsRequest.fromPartial({ withinDistance, orderBy: 'last_trace_time desc' });
    await expect(world.queries.searchParcels(request, testCall())).rejects.toMatchObject({
      ...{ code: 'RESOURCE_EXHAUSTED', reason: 'QUERY_TOO_COSTLY' },
      message: expect.stringContaining('narrow its conditions, or leave order_by out'),
    });
  });
});
