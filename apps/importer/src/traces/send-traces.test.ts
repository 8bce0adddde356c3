import { ParcelStatus, type Trace, TraceOutcome } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import type { FileTrace } from './read-trace.ts';
import { sendTraces } from './send-traces.ts';

const trace = (n: number, more: Partial<FileTrace> = {}): FileTrace => ({
  ...{ carrier: 'acme', trackingNumber: `A${n}`, happenedAt: new Date('2026-03-05T11:00:00Z'), zone: 'UTC' },
  ...more,
});

/** A system that accepts, and keeps what it got. */
function system(judge: (traces: Trace[]) => void = () => {}) {
  const calls: Trace[][] = [];
  return {
    calls,
    async recordTraces({ traces }: { traces: Trace[] }) {
      calls.push(traces);
      judge(traces);
      const results = traces.map(({ trackingNumber }) => {
        if (trackingNumber === 'A8') return { outcome: TraceOutcome.TRACE_OUTCOME_DUPLICATE, reason: '', message: '' };
        if (trackingNumber === 'A9')
          return {
            outcome: TraceOutcome.TRACE_OUTCOME_REFUSED,
            reason: 'HAPPENED_IN_FUTURE',
            message: 'Too far ahead.',
          };
        return { outcome: TraceOutcome.TRACE_OUTCOME_ACCEPTED, reason: '', message: '' };
      });
      return { results, accepted: results.length };
    },
  };
}

describe('sending traces of a file', () => {
  test('sends all that a line says but who has signed, and tells what became of each', async () => {
    const to = system();
    const full = trace(1, {
      ...{ eventId: 'e1', status: 'DELIVERED', subStatus: 'TO_NEIGHBOUR', detail: 'At number 7', signedBy: 'Weber' },
      ...{ place: { name: 'Köln', country: 'DE', latitude: 50.94, longitude: -6.96 }, photoUrl: 'https://a.example/p' },
      eta: new Date('2026-03-05T12:00:00Z'),
    });
    expect(await sendTraces(to, [full, trace(8), trace(9)])).toEqual([
      { outcome: 'ACCEPTED' },
      { outcome: 'DUPLICATE' },
      { outcome: 'REFUSED', problem: 'Too far ahead.' },
    ]);
    expect(to.calls[0]![0]).toEqual({
      ...{ carrier: 'acme', trackingNumber: 'A1', eventId: 'e1', zone: 'UTC', happenTime: full.happenedAt },
      ...{ status: ParcelStatus.PARCEL_STATUS_DELIVERED, subStatus: 'TO_NEIGHBOUR', detail: 'At number 7' },
      place: { name: 'Köln', country: 'DE', position: { latitudeE7: 509_400_000, longitudeE7: -69_600_000 } },
      ...{ eta: full.eta, photoUrl: 'https://a.example/p', receiveTime: undefined },
    });
  });

  test('a status that there is not is refused without a call for it', async () => {
    const to = system();
    expect(await sendTraces(to, [trace(1, { status: 'SENT' }), trace(2)])).toEqual([
      { outcome: 'REFUSED', problem: expect.stringContaining('status: It is none of PRE_TRANSIT') },
      { outcome: 'ACCEPTED' },
    ]);
    expect(to.calls.map((traces) => traces.map(({ trackingNumber }) => trackingNumber))).toEqual([['A2']]);
  });

  test('what makes the system refuse a whole call is refused, and the others are sent', async () => {
    const to = system((traces) => {
      const violations = traces.flatMap(({ detail }, n) =>
        detail.length > 500 ? [{ field: `traces[${n}].detail`, description: 'must have at most 500 characters' }] : [],
      );
      // One at a time, as if there were too many to name all.
      if (violations.length > 0)
        throw new CaudalError('INVALID_ARGUMENT', 'INVALID_REQUEST', 'No.', { violations: violations.slice(0, 1) });
    });
    const long = { detail: 'x'.repeat(501) };
    expect(await sendTraces(to, [trace(1), trace(2, long), trace(3), trace(4, long)])).toEqual([
      { outcome: 'ACCEPTED' },
      { outcome: 'REFUSED', problem: 'detail: must have at most 500 characters' },
      { outcome: 'ACCEPTED' },
      { outcome: 'REFUSED', problem: 'detail: must have at most 500 characters' },
    ]);
    expect(to.calls).toHaveLength(3);
  });

  test('a trace that is only too much beside the others is sent in a smaller call', async () => {
    const to = system((traces) => {
      if (traces.length <= 2) return;
      const violations = [{ field: 'traces[2].place', description: 'comes after 40 other values' }];
      throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'No.', { violations });
    });
    const sent = await sendTraces(
      to,
      [1, 2, 3, 4, 5].map((n) => trace(n)),
    );
    expect(sent).toEqual(Array.from({ length: 5 }, () => ({ outcome: 'ACCEPTED' })));
    expect(to.calls.map(({ length }) => length)).toEqual([5, 2, 3, 1, 2]);
  });

  test('a trace that can not be read is refused, and the others are sent', async () => {
    const to = system((traces) => {
      const place = traces.findIndex(({ zone }) => zone === 'bad');
      const violations = [{ field: `traces[${place}].zone`, description: 'must have at most 16384 bytes' }];
      if (place >= 0) throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'No.', { violations });
    });
    expect(await sendTraces(to, [trace(1), trace(2, { zone: 'bad' }), trace(3)])).toEqual([
      { outcome: 'ACCEPTED' },
      { outcome: 'REFUSED', problem: 'zone: must have at most 16384 bytes' },
      { outcome: 'ACCEPTED' },
    ]);
  });

  test('other errors are the caller’s', async () => {
    const away = system(() => {
      throw unavailable('tracking');
    });
    await expect(sendTraces(away, [trace(1)])).rejects.toThrow("tracking can't be reached");
    const broken = system(() => {
      throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'No message.');
    });
    await expect(sendTraces(broken, [trace(1)])).rejects.toThrow('No message.');
    expect(broken.calls).toHaveLength(1);
  });
});
