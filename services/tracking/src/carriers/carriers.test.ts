import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isStatus, isSubStatus } from '../domain/sub-statuses.ts';
import { traceId } from '../domain/trace.ts';
import { dhlRows } from './dhl-codes.ts';
import { formats } from './formats.ts';
import { upsStatusCodes, upsTypes } from './ups-codes.ts';

const now = new Date('2026-03-05T12:00:00Z');
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

describe('our own format', () => {
  const adapter = formats.caudal('acme');
  const parse = (value: unknown) => adapter.parse(bytes(value), now);
  const full = {
    trackingNumber: 'AC 100',
    eventId: 'e1',
    happenedAt: '2026-03-03T09:30:00',
    zone: 'Europe/Berlin',
    status: 'DELIVERED',
    subStatus: 'TO_NEIGHBOUR',
    detail: 'At number 7',
    place: { name: 'Köln', country: 'DE', latitude: 50.94, longitude: 6.96 },
    eta: '2026-03-03T12:00:00+01:00',
    photoUrl: 'https://acme.example/p.jpg',
    signedBy: 'Weber',
  };

  test('reads all fields; local times and times with an offset', () => {
    expect(parse({ traces: [full, { trackingNumber: '7', happenedAt: '2026-03-03T08:30:00Z' }] })).toEqual({
      traces: [
        {
          ...full,
          carrier: 'acme',
          trackingNumber: 'AC100',
          happenedAt: new Date('2026-03-03T08:30:00Z'),
          eta: new Date('2026-03-03T11:00:00Z'),
          receivedAt: now,
        },
        {
          carrier: 'acme',
          trackingNumber: '7',
          happenedAt: new Date('2026-03-03T08:30:00Z'),
          zone: '+00:00',
          receivedAt: now,
        },
      ],
      refused: [],
    });
  });

  test.each<[object, string, string]>([
    [{ trackingNumber: 'a b/c' }, 'trackingNumber', 'not a tracking number'],
    [{ trackingNumber: undefined }, 'trackingNumber', 'not a tracking number'],
    [{ happenedAt: '2026-03-03', zone: undefined }, 'happenedAt', 'ISO 8601'],
    [{ zone: undefined }, 'happenedAt', 'local time and `zone`'],
    [{ happenedAt: '1999-03-03T00:00:00Z' }, 'happenedAt', '2000'],
    [{ zone: 'Mars' }, 'zone', 'Europe/Berlin'],
    [{ status: 'SENT' }, 'status', 'PRE_TRANSIT'],
    [{ subStatus: 'LOST' }, 'subStatus', 'TO_NEIGHBOUR'],
    [{ status: undefined }, 'subStatus', 'no status'],
    [{ detail: 'x'.repeat(501) }, 'detail', '500'],
    [{ place: { country: 'de' } }, 'place.country', 'capital'],
    [{ place: { latitude: 1 } }, 'place', 'both'],
    [{ place: { latitude: 91, longitude: 1 } }, 'place.latitude', '90'],
    [{ photoUrl: 'http://acme.example/p.jpg' }, 'photoUrl', 'https'],
    [{ colour: 'red' }, 'colour', 'no such field'],
  ])('refuses %j and takes the others', (change, field, problem) => {
    const { traces, refused } = parse({ traces: [{ ...full, ...change }, full] });
    expect(traces).toHaveLength(1);
    expect(refused).toEqual([{ index: 0, field: `traces[0].${field}`, problem: expect.stringContaining(problem) }]);
  });

  test('a body that is none', () => {
    for (const wrong of ['', '{', '[]', 'null', '{"traces": 1}', Buffer.from([0xff, 0xfe])])
      expect(adapter.parse(bytes(wrong), now)).toMatchObject({
        traces: [],
        refused: [{ problem: expect.any(String) }],
      });
    const many = parse({ traces: Array(1_001).fill(full) });
    expect(many.traces).toHaveLength(1_000);
    expect(many.refused).toMatchObject([{ field: 'traces' }]);
  });
});

describe('DHL', () => {
  const shipment = {
    id: '00340434161094042557',
    service: 'parcel-de',
    origin: { address: { countryCode: 'DE' } },
    destination: { address: { countryCode: 'US' } },
    status: { timestamp: '2026-03-04T14:10:00', statusCode: 'transit' },
    estimatedDeliveryTimeFrame: { estimatedFrom: '2026-03-06T09:00:00', estimatedThrough: '2026-03-06T12:00:00' },
    events: [
      {
        timestamp: '2026-03-04T14:10:00',
        location: { address: { addressLocality: 'Tokyo', countryCode: 'JP' } },
        statusCode: 'transit',
        status: 'Customs clearance started',
        description: 'Customs clearance started',
      },
      {
        timestamp: '2026-03-03T09:16:00',
        statusCode: 'transit',
        status: 'loaded',
        description: 'The shipment has been loaded onto the delivery vehicle',
      },
      {
        timestamp: '2026-03-02T07:53:47Z',
        statusCode: 'pre-transit',
        description: 'The instruction data was provided electronically',
      },
    ],
  };
  const parse = (value: unknown) => formats.dhl('dhl').parse(bytes(value), now);

  test('times are local to the place, else to the country of origin', () => {
    const { traces, refused } = parse({ shipments: [shipment] });
    expect(refused).toEqual([]);
    expect(traces).toMatchObject([
      {
        happenedAt: new Date('2026-03-04T05:10:00Z'),
        zone: 'Asia/Tokyo',
        status: 'IN_TRANSIT',
        subStatus: 'CUSTOMS_STARTED',
        place: { name: 'Tokyo', country: 'JP' },
      },
      {
        happenedAt: new Date('2026-03-03T08:16:00Z'),
        zone: 'Europe/Berlin',
        status: 'OUT_FOR_DELIVERY',
        subStatus: 'WITH_COURIER',
      },
      {
        happenedAt: new Date('2026-03-02T07:53:47Z'),
        zone: '+00:00',
        status: 'PRE_TRANSIT',
        subStatus: 'LABEL_CREATED',
      },
      // The destination is in the USA: the time of its middle.
      { eta: new Date('2026-03-06T18:00:00Z'), happenedAt: now },
    ]);
    expect(traces.every(({ trackingNumber, carrier }) => trackingNumber === shipment.id && carrier === 'dhl')).toBe(
      true,
    );
  });

  test('a second answer says the same, so nothing is new', () => {
    const ids = (at: Date) =>
      formats
        .dhl('dhl')
        .parse(bytes({ shipments: [shipment] }), at)
        .traces.map((each) => traceId(each));
    expect(ids(now)).toEqual(ids(new Date(now.getTime() + 86_400_000)));
    expect(new Set(ids(now)).size).toBe(4);
  });

  test('a delivery with its proof; at the end of a return it is none', () => {
    const delivered = {
      timestamp: '2026-03-04T10:00:00',
      statusCode: 'delivered',
      description: 'Delivered to neighbour',
    };
    const proofOfDelivery = {
      documentUrl: 'https://dhl.example/pod',
      signed: { givenName: 'Ada', familyName: 'Weber' },
    };
    const arrived = { ...shipment, events: [delivered], details: { proofOfDelivery } };
    expect(parse({ shipments: [arrived] }).traces[0]).toMatchObject({
      status: 'DELIVERED',
      subStatus: 'TO_NEIGHBOUR',
      photoUrl: 'https://dhl.example/pod',
      signedBy: 'Ada Weber',
    });
    expect(parse({ shipments: [{ ...arrived, returnFlag: true }] }).traces[0]).toMatchObject({
      status: 'RETURNED',
      subStatus: 'TO_SENDER',
    });
  });

  test('what it does not say, or says wrongly', () => {
    const events = [
      { timestamp: '2026-03-04T10:00:00', statusCode: 'unknown' },
      { timestamp: 'yesterday', statusCode: 'transit' },
      { timestamp: '2026-03-04T10:00:00' },
    ];
    const { traces, refused } = parse({
      shipments: [{ ...shipment, events, estimatedDeliveryTimeFrame: undefined }, {}, 7],
    });
    expect(traces).toHaveLength(1);
    expect(traces[0]!.status).toBeUndefined();
    expect(refused.map(({ field }) => field).sort()).toEqual([
      '00340434161094042557.events[1].timestamp',
      '00340434161094042557.events[2].statusCode',
      'shipments[1].id',
      'shipments[2]',
    ]);
    expect(parse({ title: 'No result found', status: 404 })).toMatchObject({
      traces: [],
      refused: [{ field: 'shipments' }],
    });
  });
});

describe('UPS', () => {
  const activity = (status: object, more: object = {}) => ({
    location: { address: { city: 'Wayne', stateProvince: 'NJ', countryCode: 'US', country: 'US' }, slic: '8566' },
    date: '20260303',
    time: '093000',
    status,
    ...more,
  });
  const answer = (...activities: object[]) => ({
    trackResponse: {
      shipment: [
        {
          inquiryNumber: '1Z023E2X0214323462',
          package: [
            {
              trackingNumber: '1Z023E2X0214323462',
              deliveryDate: [{ type: 'SDD', date: '20260305' }],
              deliveryTime: { type: 'EOD', endTime: '190000' },
              packageAddress: [{ type: 'DESTINATION', address: { countryCode: 'DE' } }],
              deliveryInformation: { receivedBy: 'LI' },
              activity: activities,
            },
          ],
        },
      ],
    },
  });
  const parse = (value: unknown) => formats.ups('ups').parse(bytes(value), now);

  test('codes of three digits, types, UTC and local times, and the date that is expected', () => {
    const utc = { gmtDate: '20260303', gmtTime: '14:30:00', gmtOffset: '-05:00' };
    const { traces, refused } = parse(
      answer(
        activity({ type: 'X', code: 'X1', statusCode: '064', description: 'Refused' }, utc),
        activity({ type: 'O', code: 'OT', statusCode: '999' }),
        activity({ type: 'ZZ', code: 'Q' }, { time: '080000' }),
      ),
    );
    expect(refused).toEqual([]);
    expect(traces).toMatchObject([
      {
        happenedAt: new Date('2026-03-03T14:30:00Z'),
        zone: '-05:00',
        status: 'FAILED_ATTEMPT',
        subStatus: 'REFUSED',
        detail: 'Refused',
        place: { name: 'Wayne, NJ', country: 'US' },
      },
      { happenedAt: new Date('2026-03-03T15:30:00Z'), zone: 'America/Chicago', status: 'OUT_FOR_DELIVERY' },
      { happenedAt: new Date('2026-03-03T14:00:00Z') },
      { eta: new Date('2026-03-05T18:00:00Z') },
    ]);
    expect(traces[2]!.status).toBeUndefined();
  });

  test('a pushed event is the same trace as in the answer', () => {
    const status = { type: 'D', code: 'FS', description: 'DELIVERED' };
    const alert = {
      trackingNumber: '1Z023E2X0214323462',
      localActivityDate: '20260303',
      localActivityTime: '093000',
      gmtActivityDate: '20260303',
      gmtActivityTime: '143000',
      activityLocation: { city: 'Wayne', stateProvince: 'NJ', country: 'US' },
      activityStatus: status,
    };
    const [pushed] = parse(alert).traces;
    const [polled] = parse(
      answer(activity({ ...status, statusCode: '011' }, { gmtDate: '20260303', gmtTime: '143000' })),
    ).traces;
    expect(pushed).toMatchObject({ status: 'DELIVERED', happenedAt: new Date('2026-03-03T14:30:00Z') });
    expect(polled).toMatchObject({ status: 'DELIVERED', signedBy: 'LI' });
    expect(traceId(pushed!)).toEqual(traceId(polled!));
  });

  test('what is no answer, and activities without a time', () => {
    expect(parse({ response: { errors: [] } })).toMatchObject({ traces: [], refused: [{ field: 'trackResponse' }] });
    expect(parse(answer(activity({ type: 'D' }, { time: undefined })))).toMatchObject({
      traces: [],
      refused: [{ index: 0, field: '1Z023E2X0214323462.activity[0].date' }],
    });
  });
});

test('the mapped statuses and sub-statuses exist', () => {
  const meanings = [...Object.values(upsStatusCodes), ...Object.values(upsTypes)].map((meaning) => meaning.split('/'));
  const rows = dhlRows.filter(({ status }) => status).map(({ status, subStatus }) => [status!, subStatus]);
  for (const [status, subStatus] of [...meanings, ...rows]) {
    expect(isStatus(status!)).toBe(true);
    if (subStatus && isStatus(status!))
      expect([status, subStatus, isSubStatus(status, subStatus)]).toEqual([status, subStatus, true]);
  }
  for (const code of ['pre-transit', 'transit', 'delivered', 'failure', 'unknown'])
    expect(dhlRows.filter((row) => row.code === code && !row.words)).toHaveLength(1);
});

test('a member that a format does not know changes nothing, whatever its name', () => {
  const shipment = {
    id: 'D1',
    events: [{ timestamp: '2026-03-03T08:30:00Z', statusCode: 'transit', description: 'Arrived' }],
  };
  const activity = { gmtDate: '20260303', gmtTime: '083000', status: { type: 'I', description: 'Arrived' } };
  const bodies: [name: keyof typeof formats, body: object][] = [
    ['caudal', { traces: [{ trackingNumber: 'C1', happenedAt: '2026-03-03T08:30:00Z', status: 'IN_TRANSIT' }] }],
    ['dhl', { shipments: [shipment] }],
    ['ups', { trackResponse: { shipment: [{ package: [{ trackingNumber: 'U1', activity: [activity] }] }] } }],
  ];
  for (const [name, body] of bodies) {
    const adapter = formats[name]('acme');
    const read = adapter.parse(bytes({ problem: 'none', field: '', json: 1, refusal: 'x', ...body }), now);
    expect(read).toEqual(adapter.parse(bytes(body), now));
    expect(read).toMatchObject({ traces: [{ status: 'IN_TRANSIT' }], refused: [] });
  }
});

test('no body makes an adapter throw', () => {
  const shapes = fc.oneof(
    fc.json(),
    fc
      .object({
        key: fc.constantFrom(
          'traces',
          'shipments',
          'events',
          'id',
          'status',
          'trackResponse',
          'shipment',
          'package',
          'activity',
          'activityStatus',
          'trackingNumber',
          'happenedAt',
          'timestamp',
          'location',
          'address',
          'place',
          'zone',
          'date',
          'time',
          'type',
          'statusCode',
        ),
        maxDepth: 6,
      })
      .map((value) => JSON.stringify(value)),
    fc.string(),
  );
  fc.assert(
    fc.property(shapes, (body) => {
      for (const format of Object.values(formats)) {
        const { traces, refused } = format('x').parse(Buffer.from(body), now);
        expect(traces.length + refused.length).toBeLessThanOrEqual(5_000);
      }
    }),
    { numRuns: 200 },
  );
});
