import { CaudalError } from '@caudal/kernel/errors.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { type ImportTracesOptions, importTraces } from './import-traces.ts';
import type { FileTrace } from './read-trace.ts';
import type { TraceLine } from './read-traces.ts';

let ended: AbortController;
beforeEach(() => {
  ended = new AbortController();
});

/** Lines 1 to `count`; every 500th is wrong. */
async function* linesOf(count: number): AsyncGenerator<TraceLine> {
  for (let line = 1; line <= count; line++) {
    if (line % 500 === 0) yield { line, field: 'happenedAt', problem: 'no time' };
    else yield { line, trace: { carrier: 'acme', trackingNumber: `A${line}`, happenedAt: new Date(0), zone: 'UTC' } };
  }
}

const run = (count: number, send: ImportTracesOptions['send'], more: Partial<ImportTracesOptions> = {}) =>
  importTraces({ lines: linesOf(count), send, concurrency: 3, clock: systemClock, signal: ended.signal, ...more });

const accept = async (traces: FileTrace[]) => traces.map(() => ({ outcome: 'ACCEPTED' as const }));

describe('importing traces', () => {
  test('sends every good line once, in bounded batches, and reports the others', async () => {
    const sent: string[] = [];
    let inFlight = 0;
    let most = 0;
    const report = await run(5_250, async (traces) => {
      expect(traces.length).toBeLessThanOrEqual(1_000);
      most = Math.max(most, ++inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
      sent.push(...traces.map(({ trackingNumber }) => trackingNumber));
      return traces.map(({ trackingNumber }) => {
        if (trackingNumber === 'A7') return { outcome: 'REFUSED', problem: 'not so' } as const;
        return { outcome: trackingNumber === 'A8' ? 'DUPLICATE' : 'ACCEPTED' } as const;
      });
    });
    expect(new Set(sent).size).toBe(5_240);
    expect(sent).toHaveLength(5_240);
    expect(most).toBe(3);
    expect(report).toMatchObject({ lines: 5_250, accepted: 5_238, duplicates: 1, refused: 11, interrupted: false });
    expect(report.problems.slice(0, 2)).toEqual([
      { line: 7, field: '', problem: 'not so' },
      { line: 500, field: 'happenedAt', problem: 'no time' },
    ]);
  });

  test('waits for a system that is full, as long as it says', async () => {
    let calls = 0;
    const report = await run(1_200, async (traces) => {
      if (++calls < 4) throw new CaudalError('RESOURCE_EXHAUSTED', 'FULL', 'Later.', { retryAfterMs: 5 });
      return accept(traces);
    });
    expect(report.accepted).toBe(1_198);
    expect(calls).toBe(5);
  });

  test('gives up when its patience ends, or at once if waiting does not help', async () => {
    let now = 0;
    const away = async () => {
      now += 400_000;
      throw new CaudalError('UNAVAILABLE', 'AWAY', 'Not there.', { retryAfterMs: 1 });
    };
    await expect(run(10, away, { clock: () => new Date(now) })).rejects.toThrow('Not there.');
    expect(now).toBe(800_000);
    let calls = 0;
    const refused = async () => {
      calls += 1;
      throw new CaudalError('PERMISSION_DENIED', 'PERMISSION', 'You may not.');
    };
    await expect(run(50_000, refused)).rejects.toThrow('You may not.');
    expect(calls).toBeLessThanOrEqual(4);
  });

  test('can be interrupted', async () => {
    const report = await run(50_000, async (traces) => {
      ended.abort();
      return accept(traces);
    });
    expect(report.interrupted).toBe(true);
    expect(report.accepted).toBeLessThan(50_000);
    expect(report.accepted).toBeGreaterThan(0);
  });
});
