import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readLines } from './read-lines.ts';
import { type ReadTracesOptions, readTraces, type TraceLine } from './read-traces.ts';

/** The bytes of a text in pieces of this size. */
async function* pieces(text: string | Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text as string);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string | Uint8Array, options: Partial<ReadTracesOptions> = {}): Promise<TraceLine[]> {
  const lines: TraceLine[] = [];
  for await (const line of readTraces({ chunks: pieces(text), format: 'ndjson', ...options })) lines.push(line);
  return lines;
}

const full = {
  carrier: 'dhl',
  trackingNumber: 'A1',
  eventId: 'e,1',
  happenedAt: '2026-03-03T09:00:00',
  zone: 'Europe/Berlin',
  status: 'DELIVERED',
  subStatus: 'TO_NEIGHBOUR',
  detail: 'At "number 7"',
  place: { name: 'Köln', country: 'DE', latitude: 50.94, longitude: 6.96 },
  eta: '2026-03-03T12:00:00Z',
  photoUrl: 'https://dhl.example/p.jpg',
  signedBy: 'Weber',
};
const trace = { ...full, happenedAt: new Date('2026-03-03T08:00:00Z'), eta: new Date('2026-03-03T12:00:00Z') };

describe('lines of JSON', () => {
  test('all fields, empty lines, a byte order mark, ends of lines, none at the end', async () => {
    const short = { trackingNumber: 'A 2', happenedAt: '2026-03-03T09:00:00+01:00' };
    const text = `\ufeff${JSON.stringify(full)}\r\n\n  \n${JSON.stringify(short)}`;
    expect(await read(text, { carrier: 'ups' })).toEqual([
      { line: 1, trace },
      { line: 4, trace: { carrier: 'ups', trackingNumber: 'A2', happenedAt: trace.happenedAt, zone: '+01:00' } },
    ]);
  });

  test.each<[unknown, string, string]>([
    ['{', '', 'not JSON'],
    ['7', '', 'not a JSON object'],
    [{ ...full, carrier: undefined }, 'carrier', 'name of a carrier'],
    [{ ...full, carrier: 'D H L' }, 'carrier', 'name of a carrier'],
    [{ ...full, trackingNumber: 'a/b' }, 'trackingNumber', '1 to 64'],
    [{ ...full, trackingNumber: 17 }, 'trackingNumber', 'not a text'],
    [{ ...full, zone: undefined }, 'happenedAt', 'needs a zone'],
    [{ ...full, zone: 'Mars' }, 'zone', 'Europe/Berlin'],
    [{ ...full, eta: 'soon' }, 'eta', 'ISO 8601'],
    [{ ...full, detail: 'x'.repeat(2_001) }, 'detail', '2000'],
    [{ ...full, place: 'Köln' }, 'place', 'not an object'],
    [{ ...full, place: { country: 'Germany' } }, 'country', 'two capital letters'],
    [{ ...full, place: { latitude: 91, longitude: 0 } }, 'latitude', '-90 to 90'],
    [{ ...full, place: { latitude: 1 } }, 'latitude', 'both'],
    [{ ...full, place: { latitude: true } }, 'latitude', 'not a number'],
    [{ ...full, colour: 'red' }, 'colour', 'no such field'],
    ['x'.repeat(70_000), '', '65536'],
  ])('wrong lines: %#, and the next line is read', async (wrong, field, problem) => {
    const text = `${typeof wrong === 'string' ? wrong : JSON.stringify(wrong)}\n${JSON.stringify(full)}\n`;
    expect(await read(text)).toEqual([
      { line: 1, field, problem: expect.stringContaining(problem) },
      { line: 2, trace },
    ]);
  });

  test('what is not UTF-8', async () => {
    const lines = await read(Buffer.concat([Buffer.from([0xff, 0xfe, 0x0a]), Buffer.from(JSON.stringify(full))]));
    expect(lines).toMatchObject([
      { line: 1, problem: 'It is not UTF-8.' },
      { line: 2, trace },
    ]);
  });
});

describe('CSV', () => {
  const heading =
    'trackingNumber,happenedAt,placeName,country,latitude,longitude,carrier,status,eventId,detail,zone,subStatus,eta,photoUrl,signedBy';
  const line =
    'A1,2026-03-03T09:00:00,Köln,DE,50.94,6.96,dhl,DELIVERED,"e,1","At ""number 7""",Europe/Berlin,TO_NEIGHBOUR,2026-03-03T12:00:00Z,https://dhl.example/p.jpg,Weber';
  const csv = (text: string, more: Partial<ReadTracesOptions> = {}) => read(text, { format: 'csv', ...more });

  test.each(['\n', '\r\n'])('columns in any order; a wrong line names its number and column; %j', async (ends) => {
    const text = [`\ufeff${heading}`, line, '', `A2,2026-02-30T09:00:00${','.repeat(13)}`, 'A3,1', line].join(ends);
    expect(await csv(text, { carrier: 'ups', zone: 'UTC' })).toEqual([
      { line: 2, trace },
      { line: 4, field: 'happenedAt', problem: expect.stringContaining('ISO 8601') },
      { line: 5, field: '', problem: expect.stringContaining('more or fewer values') },
      { line: 6, trace },
    ]);
  });

  test('defaults for the file', async () => {
    expect(await csv('trackingNumber,happenedAt\nA1,2026-03-03 09:00\n', { carrier: 'dhl', zone: '+01:00' })).toEqual([
      { line: 2, trace: { carrier: 'dhl', trackingNumber: 'A1', happenedAt: trace.happenedAt, zone: '+01:00' } },
    ]);
  });

  test('files that can’t be read', async () => {
    await expect(csv('trackingNumber,happenedAt\nA1,1\n')).rejects.toThrow('no column carrier');
    await expect(csv('trackingNumber,happenedAt,colour\n', { carrier: 'dhl' })).rejects.toThrow('column "colour"');
    await expect(csv(`${heading}\n"${'x'.repeat(200_000)}`)).rejects.toThrow('not valid CSV');
    await expect(csv(`${heading}\nA1,"x"y\n`)).rejects.toThrow('not valid CSV');
    async function* broken() {
      yield Buffer.from(`${heading}\n`);
      throw new Error('the disk is gone');
    }
    await expect(csv('', { chunks: broken() })).rejects.toThrow('the disk is gone');
  });
});

test('lines are the same however the bytes are cut, and progress ends at the file’s size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', '\n', '\r', 'x'.repeat(30)) })),
      fc.integer({ min: 1, max: 50 }),
      async (parts, size) => {
        const text = parts.join('\n');
        const lines: string[] = [];
        for await (const { text: each, problem } of readLines(pieces(text, size), 60)) lines.push(each ?? problem!);
        const expected = text.split('\n');
        if (expected.at(-1) === '') expected.pop();
        const bytes = (each: string) => Buffer.byteLength(each);
        expect(lines).toEqual(
          expected.map((each) => (bytes(each) > 60 ? `It has ${bytes(each)} bytes; a line may have 60.` : each)),
        );
      },
    ),
    { numRuns: 100 },
  );
  const progress: number[] = [];
  const text = `${JSON.stringify(full)}\n`.repeat(20);
  await read(text, { onProgress: (bytes) => progress.push(bytes) });
  expect(progress.at(-1)).toBe(Buffer.byteLength(text));
  expect(progress.length).toBeGreaterThan(100);
});
