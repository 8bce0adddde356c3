/** What looks like one event and is two, and values that would be read as others than the carrier has sent. */
import { describe, expect, test } from '@jest/globals';
import { judge } from '../domain/parcel.ts';
import { type Trace, traceId } from '../domain/trace.ts';
import { formats } from './formats.ts';

const now = new Date('2026-03-05T12:00:00Z');
const parse = (format: keyof typeof formats, body: string | object) =>
  formats[format](format).parse(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), now);
const idOf = (trace: Trace | undefined) => traceId(trace!);

describe('an event that means something else the second time is another trace', () => {
  test('DHL: the delivery at the end of a return', () => {
    const delivered = { timestamp: '2026-03-04T10:00:00Z', statusCode: 'delivered', description: 'Delivered' };
    const read = (more: object) =>
      parse('dhl', { shipments: [{ id: '123', events: [delivered], ...more }] }).traces[0]!;
    const [before, after] = [read({}), read({ returnFlag: true })];
    expect([before.status, after.status]).toEqual(['DELIVERED', 'RETURNED']);
    expect(idOf(after)).not.toBe(idOf(before));
    expect(idOf(read({ returnFlag: true }))).toBe(idOf(after));
    expect(judge(judge(undefined, [before]), [after]).status).toBe('RETURNED');
  });

  test('UPS: the code of three digits says more than type and code', () => {
    const read = (statusCode: string) => {
      const activity = { gmtDate: '20260304', gmtTime: '100000', status: { type: 'D', code: 'FS', statusCode } };
      const shipment = [{ package: [{ trackingNumber: '1Z1', activity: [activity] }] }];
      return parse('ups', { trackResponse: { shipment } }).traces[0]!;
    };
    const [before, after] = [read('011'), read('034')];
    expect([before.status, after.status]).toEqual(['DELIVERED', 'RETURNED']);
    expect(idOf(after)).not.toBe(idOf(before));
    // Another code with the same meaning says nothing new.
    expect(idOf(read('026'))).toBe(idOf(before));
    expect(judge(judge(undefined, [before]), [after]).status).toBe('RETURNED');
  });
});

describe('an offset that no place has is refused, and hinders no other trace', () => {
  const good = { trackingNumber: '7', happenedAt: '2026-03-03T08:30:00Z' };

  test.each([
    ['happenedAt', { happenedAt: '2026-03-03T09:30:00+25:00' }],
    ['happenedAt', { happenedAt: '2026-03-03T09:30:00+15:00', zone: 'Europe/Berlin' }],
    ['happenedAt', { happenedAt: '2026-03-03T09:30:00-02:75' }],
    ['eta', { eta: '2026-03-09T09:30:00+99:99' }],
    ['zone', { zone: '+15:00' }],
  ])('%s of %j', (field, wrong) => {
    const { traces, refused } = parse('caudal', { traces: [{ ...good, ...wrong }, good] });
    expect(traces).toHaveLength(1);
    expect(refused).toEqual([{ index: 0, field: `traces[0].${field}`, problem: expect.stringContaining('+01:00') }]);
  });

  test('of an event of DHL', () => {
    const events = ['2026-03-03T09:30:00+25:00', '2026-03-03T09:30:00+01:00'].map((timestamp) => ({
      ...{ timestamp, statusCode: 'transit' },
    }));
    const { traces, refused } = parse('dhl', { shipments: [{ id: '123', events }] });
    expect(traces.map(({ happenedAt }) => happenedAt)).toEqual([new Date('2026-03-03T08:30:00Z')]);
    expect(refused.map(({ field }) => field)).toEqual(['123.events[0].timestamp']);
  });
});

describe('a tracking number without quotes', () => {
  const bodies: [keyof typeof formats, string, (number: string) => string][] = [
    [
      'caudal',
      'traces[0].trackingNumber',
      (number) => `{"traces": [{"trackingNumber": ${number}, "happenedAt": "2026-03-03T08:30:00Z"}]}`,
    ],
    [
      'dhl',
      'shipments[0].id',
      (number) =>
        `{"shipments": [{"id": ${number}, "events": [{"timestamp": "2026-03-03T08:30:00Z", "statusCode": "transit"}]}]}`,
    ],
    [
      'ups',
      'package[0].trackingNumber',
      (number) =>
        `{"trackResponse": {"shipment": [{"package": [{"trackingNumber": ${number}, "activity": [{"gmtDate": "20260303", "gmtTime": "083000", "status": {"type": "I"}}]}]}]}}`,
    ],
  ];

  test.each(bodies)('%s: is read exactly, or refused if JSON has rounded it', (format, field, bodyWith) => {
    for (const exact of ['9007199254740991', '340434161094', '7'])
      expect(parse(format, bodyWith(exact))).toMatchObject({ traces: [{ trackingNumber: exact }], refused: [] });
    // The second is read as the first, the others with other digits, or in another notation.
    for (const rounded of ['9007199254740992', '9007199254740993', '340434161094042557', '1e21', '1.5', '-7'])
      expect([rounded, parse(format, bodyWith(rounded))]).toEqual([
        rounded,
        { traces: [], refused: [expect.objectContaining({ field })] },
      ]);
    expect(parse(format, bodyWith('"340434161094042557"')).traces[0]!.trackingNumber).toBe('340434161094042557');
  });
});
