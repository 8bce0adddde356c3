import { describe, expect, test } from '@jest/globals';
import { instantOf, isZone, localOf, offsetMs, parseTime } from './zones.ts';

const hour = 3_600_000;

describe('zones', () => {
  test.each([
    ['Europe/Berlin', '2026-07-01T10:00:00Z', 2],
    ['Europe/Berlin', '2026-12-01T10:00:00Z', 1],
    ['America/New_York', '2026-12-01T10:00:00Z', -5],
    ['Asia/Kolkata', '2026-12-01T10:00:00Z', 5.5],
    ['UTC', '2026-12-01T10:00:00Z', 0],
    ['-03:30', '2026-12-01T10:00:00Z', -3.5],
    ['+0200', '2026-12-01T10:00:00Z', 2],
  ])('%s at %s is %s hours ahead of UTC', (zone, at, hours) => {
    expect(offsetMs(zone, Date.parse(at))).toBe(hours * hour);
    expect(localOf(zone, Date.parse(at))).toBe(Date.parse(at) + hours * hour);
  });

  test('the instant of a local time, also around the changes of the clocks', () => {
    const of = (text: string) => new Date(instantOf('Europe/Berlin', Date.parse(`${text}Z`))).toISOString();
    expect(of('2026-07-01T12:00:00')).toBe('2026-07-01T10:00:00.000Z');
    expect(of('2026-03-29T01:59:00')).toBe('2026-03-29T00:59:00.000Z');
    expect(of('2026-03-29T03:00:00')).toBe('2026-03-29T01:00:00.000Z');
    // On that day 02:30 is never shown.
    expect(of('2026-03-29T02:30:00')).toBe('2026-03-29T01:30:00.000Z');
    // And on this one twice.
    expect(of('2026-10-25T02:30:00')).toBe('2026-10-25T01:30:00.000Z');
    expect(of('2026-10-25T03:30:00')).toBe('2026-10-25T02:30:00.000Z');
  });

  test('what is a zone', () => {
    expect(['Europe/Berlin', 'UTC', '+02:00', '-0930'].map(isZone)).toEqual([true, true, true, true]);
    expect(['', 'Mars/Olympus', '+15:00', '+02:60', 'x'.repeat(500)].map(isZone)).toEqual(Array(5).fill(false));
  });

  test('ISO times', () => {
    const read = (text: string, zone?: string) => {
      const parsed = parseTime(text, zone);
      return parsed && [new Date(parsed.at).toISOString(), parsed.zone];
    };
    expect(read('2026-07-01T12:00:00.1239+02:00')).toEqual(['2026-07-01T10:00:00.123Z', '+02:00']);
    expect(read('2026-07-01T12:00Z')).toEqual(['2026-07-01T12:00:00.000Z', '+00:00']);
    expect(read('2026-07-01 12:00:00', 'Europe/Berlin')).toEqual(['2026-07-01T10:00:00.000Z', 'Europe/Berlin']);
    for (const offset of ['+15:00', '-14:60', '+99:99', '+1500'])
      expect([offset, read(`2026-07-01T12:00:00${offset}`, 'Europe/Berlin')]).toEqual([offset, undefined]);
    for (const wrong of ['2026-07-01T12:00:00', '2026-02-30T12:00:00Z', '2026-13-01T00:00:00Z', 'soon', '2026-07-01'])
      expect(read(wrong)).toBeUndefined();
  });
});
