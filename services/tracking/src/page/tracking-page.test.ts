/** What is on a parcel's public page, and that no text of a carrier becomes markup. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { judge } from '../domain/parcel.ts';
import type { Trace } from '../domain/trace.ts';
import { hour, start, traceAt } from '../testing/traces.ts';
import { trackingPage } from './tracking-page.ts';

type ShownParcel = Parameters<typeof trackingPage>[0];

function shown(traces: Trace[], more: Partial<ShownParcel> = {}): ShownParcel {
  return {
    ...{ carrier: 'DHL', trackingNumber: 'JD01', traceCount: traces.length, destination: undefined },
    ...{ estimate: undefined, now: start + 48 * hour },
    state: traces.length > 0 ? judge(undefined, traces) : undefined,
    ...more,
  };
}

const page = (traces: Trace[], more: Partial<ShownParcel> = {}) => trackingPage(shown(traces, more));
const lyon = { name: 'Lyon', country: 'FR', latitude: 45.764, longitude: 4.8357 };
const tokyo = { name: 'Tokyo', country: 'JP', latitude: 35.6762, longitude: 139.6503 };

/** Its text, as a reader has it. Versions of Node write a comma behind the day of the week, or none. */
const textOf = (html: string) =>
  html
    .replace(/<(style|svg)[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/day,/g, 'day');

test('has status, reasons, days and times of the places', () => {
  const text = textOf(
    page([
      traceAt(0, 'IN_TRANSIT', { place: lyon, subStatus: 'ACCEPTED', detail: 'Enlevé' }),
      traceAt(14, 'IN_TRANSIT', { place: tokyo, detail: 'Arrived at the airport' }),
      traceAt(20, 'EXCEPTION', { place: tokyo, subStatus: 'CUSTOMS_HELD', zone: 'America/New_York' }),
    ]),
  );
  expect(text).toContain('Parcel JD01 with DHL');
  expect(text).toContain('Held up Customs hold it.');
  expect(text).toContain('Last seen: Tokyo, JP');
  // The zone that the carrier names, else the country's: 8 o'clock in Greenwich is nine in Lyon, and 22 o'clock is the next day in Tokyo.
  expect(text).toContain('Tuesday 3 March 2026 23:00 UTC\u22125 Held up');
  expect(text).toContain('Wednesday 4 March 2026 07:00 UTC+9 On its way Arrived at the airport Tokyo, JP');
  expect(text).toContain('09:00 UTC+1 On its way The carrier has it. Enlevé Lyon, FR');
});

test('without a trace it says so', () => {
  expect(textOf(page([]))).toContain('No news yet');
});

test('says when it arrives, in the zone of the place, and how sure that is', () => {
  const estimate = {
    ...({ source: 'LEARNT', sureness: 'LOW', samples: 3, spreadDays: 2, late: true } as const),
    ...{ earliest: start + 72 * hour, likely: start + 80 * hour, latest: start + 120 * hour },
  };
  const moving = [traceAt(0, 'IN_TRANSIT', { place: lyon })];
  const text = textOf(page(moving, { estimate, destination: 'JP' }));
  expect(text).toContain(
    'Expected between Friday 6 March 2026, 17:00 UTC+9 and Sunday 8 March 2026, 17:00 UTC+9 Most likely Saturday 7 March 2026, 01:00 UTC+9',
  );
  expect(text).toContain('It is later than the carrier had expected. Not sure');
  const said = { ...estimate, source: 'CARRIER', late: false, earliest: start, likely: start, latest: start } as const;
  expect(textOf(page(moving, { estimate: said, destination: 'FR' }))).toContain(
    'Expected Tuesday 3 March 2026, 09:00 UTC+1 The carrier says so.',
  );
  const over = page([traceAt(0, 'IN_TRANSIT', { eta: new Date(start + hour) })]);
  expect(textOf(over)).toContain('It is late: the carrier had expected Tuesday 3 March 2026, 09:00 UTC');
});

test('at the door it has only the country and our own words', () => {
  const html = page([
    traceAt(0, 'IN_TRANSIT', { place: lyon, detail: 'Departed' }),
    traceAt(5, 'DELIVERED', {
      ...{
        subStatus: 'TO_NEIGHBOUR',
        detail: 'Signed by Ada Lovelace',
        signedBy: 'Lovelace',
        photoUrl: 'https://a/b.png',
      },
      place: { name: '12 Rue de la Paix', country: 'FR', latitude: 48.86912, longitude: 2.33171 },
    }),
  ]);
  expect(textOf(html)).toContain('Delivered A neighbour has it.');
  expect(html).not.toMatch(/Lovelace|Paix|b\.png|48\.87|2\.33/);
  expect(textOf(html)).toContain('Departed Lyon, FR');
  // The mark of Lyon, and none at the door.
  expect(html.match(/<circle /g)).toHaveLength(1);
});

test('draws the places that have positions, in their order, and says them in words', () => {
  const html = page([
    traceAt(0, 'IN_TRANSIT', { place: lyon }),
    traceAt(1, 'IN_TRANSIT', { place: { ...lyon, latitude: 45.76 } }),
    traceAt(2, 'IN_TRANSIT', { place: { name: 'Nowhere' } }),
    traceAt(3, 'IN_TRANSIT', { place: tokyo }),
  ]);
  const [, points] = /<polyline class="way" points="([^"]*)"/.exec(html)!;
  const places = points!.split(' ').map((point) => point.split(',').map(Number));
  expect(places).toHaveLength(2);
  const [[x1, y1], [x2, y2]] = places as [[number, number], [number, number]];
  // To the east and to the south, and all of it within the picture.
  expect([x1 < x2, y1 < y2]).toEqual([true, true]);
  for (const [x, y] of places) expect([x! > 0 && x! < 640, y! > 0 && y! < 320]).toEqual([true, true]);
  expect(textOf(html)).toContain('The parcel was seen, in this order, in: Lyon, FR → Tokyo, JP');
  expect(page([traceAt(0, 'IN_TRANSIT', { place: { name: 'Lyon' } })])).not.toContain('<svg');
});

test('crosses the date line by the shorter way', () => {
  const at = (longitude: number) => ({ country: 'FJ', latitude: -17, longitude });
  const html = page([traceAt(0, 'IN_TRANSIT', { place: at(178) }), traceAt(1, 'IN_TRANSIT', { place: at(-178) })]);
  const [, points] = /<polyline class="way" points="([^"]*)"/.exec(html)!;
  const [x1, x2] = points!.split(' ').map((point) => Number(point.split(',')[0])) as [number, number];
  expect(x1).toBeLessThan(x2);
  expect(html).toContain('>180°<');
  expect(html).toMatch(/>17[89]°E</);
});

/** Tags with their attributes; instants aside, since a zone changes them. */
const tagsOf = (html: string) => [...html.matchAll(/<[^>]*>?/g)].map(([tag]) => tag.replace(/ datetime="[^"<>]*"/, ''));

const hostile = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  fc
    .array(
      fc.constantFrom(
        ...[
          '<script>alert(1)</script>',
          '</bdi>',
          '</style>',
          '<style>*{}</style>',
          '-->',
          '<!--',
          '&lt;',
          '&#60;',
          '"',
          "'",
        ],
        ...[
          '<img src=x onerror=a()>',
          ' onload="a()"',
          '\u202e',
          '\u0000',
          '\ud800',
          '{{a}}',
          'javascript:a()',
          '<',
          '>',
          '`',
        ],
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((parts) => parts.join('')),
);

test('no text of a carrier becomes markup', () => {
  const texts = fc.record({
    ...{ carrier: hostile, trackingNumber: hostile, detail: hostile, name: hostile, country: hostile },
    ...{ zone: hostile, subStatus: hostile, destination: hostile },
  });
  const with_ = ({
    carrier,
    trackingNumber,
    detail,
    name,
    country,
    zone,
    subStatus,
    destination,
  }: Record<string, string>) =>
    page(
      [
        traceAt(0, 'IN_TRANSIT', { detail, zone, subStatus, place: { ...lyon, name, country } as Trace['place'] }),
        traceAt(1, undefined, { detail, zone, subStatus, place: { name, country } as Trace['place'] }),
      ],
      { carrier: carrier!, trackingNumber: trackingNumber!, destination },
    );
  const plain = tagsOf(
    with_({
      ...{ carrier: 'x', trackingNumber: 'x', detail: 'x', name: 'x', country: 'x' },
      ...{ zone: 'x', subStatus: 'x', destination: 'x' },
    }),
  );
  fc.assert(
    fc.property(texts, (each) => {
      const html = with_(each);
      expect(tagsOf(html)).toEqual(plain);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
      expect(html).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      expect(html.isWellFormed()).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('a text of another direction does not change the order of what stands around it', () => {
  const html = page([traceAt(0, 'IN_TRANSIT', { detail: '\u202eהחבילה \u2067הגיעה', place: { name: 'תל אביב' } })]);
  expect(html).toContain('<p><bdi>\u202eהחבילה \u2067הגיעה</bdi></p>');
  expect(html).toContain('<bdi>תל אביב</bdi>');
});
