import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { expect, test } from '@jest/globals';
import { tailWindow } from './tail-window.ts';

/** Events from one position to another, each with so many bytes that all look alike except for its position. */
function events(from: number, to: number, bytes = 300): RecordedEvent[] {
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    position: from + index,
    stream: 'orders.order/1',
    version: from + index,
    eventId: `e${from + index}`,
    type: 'orders.order.placed.v1',
    schemaVersion: 1,
    metadata: new Uint8Array([from + index]),
    data: new Uint8Array(bytes - 1).fill(from + index),
    recordedAt: new Date(0),
  }));
}
const positions = (some: RecordedEvent[]) => some.map(({ position }) => position);

describeWith([], 'the window of a tail', () => {
  test('has the last events, unchanged', () => {
    const window = tailWindow({ maxBytes: 1e6, keepMs: 1e6 });
    window.restart(100);
    window.add(events(101, 103));
    window.add(events(104, 104));
    expect(window.end).toBe(104);
    expect(window.after(101, 2)).toEqual(
      events(102, 103).map(({ data, metadata, ...event }) => ({
        ...event,
        data: Buffer.from(data),
        metadata: Buffer.from(metadata),
      })),
    );
    expect(positions(window.after(100, 10))).toEqual([101, 102, 103, 104]);
    expect([99, 100, 104, 105].map(window.covers)).toEqual([false, true, true, false]);
  });

  test('keeps no more bytes than it may, and always the latest read', () => {
    const window = tailWindow({ maxBytes: 5_000, keepMs: 1e6 });
    for (let at = 1; at <= 99; at += 2) window.add(events(at, at + 1));
    // 1,000 bytes each: two reads are 4,000.
    expect(window.end).toBe(100);
    expect(window.covers(96)).toBe(true);
    expect(window.covers(95)).toBe(false);
    window.add(events(101, 150));
    expect(positions(window.after(100, 100))).toEqual(positions(events(101, 150)));
    expect(window.covers(99)).toBe(false);
  });

  test('drops old events, also when no new ones arrive', () => {
    let now = 0;
    const window = tailWindow({ maxBytes: 1e6, keepMs: 5_000, elapsed: () => now });
    window.add(events(1, 2));
    now = 4_000;
    window.add(events(3, 4));
    expect(window.covers(0)).toBe(true);
    now = 6_000;
    window.add([]);
    expect(window.covers(1)).toBe(false);
    expect(window.covers(2)).toBe(true);
    now = 20_000;
    window.add([]);
    expect(window.covers(3)).toBe(false);
    expect(window.covers(4)).toBe(true);
    expect(window.end).toBe(4);
  });

  test('holds the bytes of its events and no others', () => {
    const window = tailWindow({ maxBytes: 1e6, keepMs: 1e6 });
    const slab = new Uint8Array(65_536);
    window.add(events(1, 10).map((event, index) => ({ ...event, data: slab.subarray(index, index + 299) })));
    for (const { data } of window.after(0, 10)) expect(data.buffer.byteLength).toBe(10 * 300);
  });
});
