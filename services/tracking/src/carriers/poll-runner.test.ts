/** A run of polls against a carrier that answers over HTTP, with the plans in memory. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Trace } from '../domain/trace.ts';
import { acceptable } from './acceptable.ts';
import { caudalFormat } from './caudal-format.ts';
import { apiKey } from './credentials.ts';
import { maxTraces } from './fields.ts';
import { firstPoll, type PollState } from './poll-plan.ts';
import { pollCarrier } from './poll-runner.ts';

const now = Date.UTC(2026, 2, 3, 12);
const hour = 3_600_000;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const event = (trackingNumber: string, status: string, hours = -1) => ({
  ...{ trackingNumber, status, eventId: `${trackingNumber} ${status}` },
  happenedAt: new Date(now + hours * hour).toISOString(),
});

/** A carrier that answers so, and what a run makes of it. */
async function run(
  answer: (trackingNumber: string, response: ServerResponse) => void,
  numbers: string[],
  concurrency = 1,
) {
  let calls = 0;
  const server = createServer((request, response) => {
    calls++;
    answer(new URL(request.url!, 'http://carrier').searchParams.get('trackingNumber')!, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const states = new Map<string, PollState>(numbers.map((number) => [number, firstPoll(now)]));
  const recorded: Trace[] = [];
  const pauses: number[] = [];
  const counts = await pollCarrier(
    {
      adapter: caudalFormat('acme'),
      base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: apiKey('key'),
      ...{ concurrency, perSecond: 1_000, timeoutMs: 5_000 },
    },
    {
      store: {
        due: async ({ limit }) =>
          [...states]
            .filter(([, { nextAt }]) => nextAt <= now)
            .slice(0, limit)
            .map(([trackingNumber, state]) => ({ trackingNumber, state })),
        async save({ trackingNumber, state }) {
          if (state) states.set(trackingNumber, state);
          else states.delete(trackingNumber);
        },
        async pause({ until }) {
          pauses.push(until);
          for (const [number, state] of states) states.set(number, { ...state, nextAt: Math.max(state.nextAt, until) });
        },
      },
      record: async (traces) => void recorded.push(...traces),
      clock: () => new Date(now),
      pauses: new Map(),
      signal: new AbortController().signal,
    },
  );
  return { counts, states, recorded, pauses, calls: () => calls };
}

const says = (response: ServerResponse, traces: object[]) => response.end(JSON.stringify({ traces }));

describe('a poll', () => {
  test('ends with its own parcel, whatever the answer says of others of the shipment', async () => {
    const { states, recorded } = await run(
      (_, response) => says(response, [event('P1', 'IN_TRANSIT'), event('P2', 'DELIVERED')]),
      ['P1'],
    );
    expect(recorded.map(({ trackingNumber }) => trackingNumber)).toEqual(['P1', 'P2']);
    expect([...states.keys()]).toEqual(['P1']);
    const own = await run((_, response) => says(response, [event('P1', 'DELIVERED')]), ['P1']);
    expect([...own.states.keys()]).toEqual([]);
  });

  test('goes on if the label was voided, since the parcel may be sent all the same', async () => {
    const { states } = await run((_, response) => says(response, [event('P1', 'CANCELLED')]), ['P1']);
    expect(states.get('P1')!.nextAt).toBeGreaterThan(now + 2 * hour);
  });

  test('goes on while what it says is not taken in', async () => {
    const { states, recorded, counts } = await run(
      (_, response) => says(response, [event('P1', 'DELIVERED', 48)]),
      ['P1'],
    );
    expect(recorded).toEqual([]);
    expect(counts).toMatchObject({ polled: 1, failed: 1 });
    expect(states.get('P1')).toMatchObject({ failures: 1 });
  });

  test('that is turned away ends the calls of all, until the time that the carrier names', async () => {
    const numbers = Array.from({ length: 40 }, (_, n) => `P${n}`);
    const until = now + 2 * hour;
    const { counts, pauses, states, calls } = await run(
      (_, response) => response.writeHead(429, { 'retry-after': new Date(until).toUTCString() }).end(),
      numbers,
      4,
    );
    expect(counts.paused).toBe('LIMITED');
    // Those that were in flight, and no other.
    expect(calls()).toBeLessThanOrEqual(4);
    expect(new Set(pauses)).toEqual(new Set([until]));
    expect([...states.values()].filter(({ nextAt }) => nextAt < until)).toEqual([]);
  });
});

test('a body has traces for one call; the rest is told', () => {
  const parsed = caudalFormat('acme').parse(
    Buffer.from(JSON.stringify({ traces: [event('P1', 'IN_TRANSIT')] })),
    new Date(now),
  );
  const many = Array.from({ length: maxTraces + 5 }, () => parsed.traces[0]!);
  const { traces, refused } = acceptable({ traces: many, refused: [] }, new Date(now));
  expect(traces).toHaveLength(maxTraces);
  expect(refused).toEqual([{ field: '', problem: 'It has 1005 traces: send at most 1000 at a time.' }]);
});
