/** The simulator against the real adapters, webhook, judge and polls of tracking. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { PolledCarrier } from '@caudal/service-tracking/carriers/ask.ts';
import { apiKey, clientCredentials } from '@caudal/service-tracking/carriers/credentials.ts';
import { formats } from '@caudal/service-tracking/carriers/formats.ts';
import { firstPoll, type PollState } from '@caudal/service-tracking/carriers/poll-plan.ts';
import {
  type PollCounts,
  type PollOptions,
  type PollStore,
  pollCarrier,
} from '@caudal/service-tracking/carriers/poll-runner.ts';
import { type CarrierEndpoint, carrierWebhook } from '@caudal/service-tracking/carriers/webhook.ts';
import { judge } from '@caudal/service-tracking/domain/parcel.ts';
import type { ParcelState } from '@caudal/service-tracking/domain/parcel-state.ts';
import { type Trace, traceId } from '@caudal/service-tracking/domain/trace.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Carrier, carriers, parcelOf, scenarios, type World } from './parcels.ts';
import { push } from './push.ts';
import { numberOf, tallyOf } from './report.ts';
import { sequenceOf } from './sequence.ts';
import { type Served, serve } from './serve.ts';

/** Side by side, as the job does. */
async function pollCarriers(all: readonly PolledCarrier[], options: PollOptions): Promise<Record<string, PollCounts>> {
  const each = all.map(async (carrier) => [carrier.adapter.name, await pollCarrier(carrier, options)] as const);
  return Object.fromEntries(await Promise.all(each));
}

const secret = 'the secret of the simulator, 32 characters';
const world: World = { seed: 7, startAt: Date.UTC(2026, 2, 2) };
let ended: AbortController;
let stops: (() => Promise<unknown>)[];

beforeEach(() => {
  ended = new AbortController();
  stops = [];
});
afterEach(async () => {
  ended.abort();
  for (const stop of stops) await stop();
});

/** What tracking does with traces: stores each once, and judges it. */
function tracking() {
  const traces = new Map<string, Trace>();
  const parcels = new Map<string, ParcelState>();
  const record = async (batch: readonly Trace[]) => {
    for (const trace of batch) {
      const id = traceId(trace);
      if (traces.has(id)) continue;
      traces.set(id, trace);
      const key = `${trace.carrier}/${trace.trackingNumber}`;
      parcels.set(key, judge(parcels.get(key), [trace]));
    }
  };
  return { traces, parcels, record };
}

/** A server with the webhooks; `refuse` says whether it is full. */
async function webhooks(record: (traces: readonly Trace[]) => Promise<void>, refuse: () => boolean) {
  const endpoints = carriers.map((name): [string, CarrierEndpoint] => {
    const adapter = formats[name === 'acme' ? 'caudal' : name](name);
    return [name, { adapter, secrets: [secret] }];
  });
  const receive = carrierWebhook({ carriers: new Map(endpoints), record, clock: () => new Date() });
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    if (refuse()) {
      response.writeHead(429, { 'retry-after': '0.01' }).end();
      return;
    }
    const headers = request.headers as Record<string, string>;
    const [, carrier = ''] = /^\/v1\/carriers\/(\w+)\/webhook$/.exec(request.url!) ?? [];
    await receive({ carrier, headers, body }).then(
      (received) => response.writeHead(202).end(JSON.stringify(received)),
      (error: unknown) => response.writeHead(error instanceof CaudalError ? 400 : 500).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/carriers`;
}

test('storms, duplicates and disorder: every parcel ends as it should, and the sums agree', async () => {
  const { traces, parcels, record } = tracking();
  // At random: a call that is tried again after a fixed time could meet every seventh again and again.
  const random = randomFrom(7);
  const to = await webhooks(record, () => random() < 1 / 7);
  const count = 150;
  const tally = tallyOf(world, count);
  const events = sequenceOf(world, count, { duplicates: 0.5, disorder: 500 });
  await push({ events, tally, to, secret, concurrency: 8, signal: ended.signal });
  const report = tally.report();
  expect(report.failed).toBe(0);
  expect(report.repeats).toBeGreaterThan(0);
  expect(report.duplicates).toBeGreaterThan(300);
  expect(traces.size).toBe(report.events - report.duplicates);
  let sum = 0n;
  for (const { carrier, trackingNumber, happenedAt } of traces.values())
    sum += numberOf({
      parcel: { ...parcelOf(world, 0), carrier: carrier as Carrier, trackingNumber },
      event: { ...parcelOf(world, 0).events[0]!, at: happenedAt.getTime() },
    });
  expect(String(BigInt.asUintN(64, sum))).toBe(report.sum);
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const { carrier, trackingNumber, outcome, scenario } = parcelOf(world, index);
    seen.add(scenario);
    expect([index, scenario, carrier, parcels.get(`${carrier}/${trackingNumber}`)?.status]).toEqual([
      index,
      scenario,
      carrier,
      outcome,
    ]);
  }
  expect(seen.size).toBe(scenarios.length);
}, 180_000);

test('what is signed with another secret is not taken', async () => {
  const { traces, record } = tracking();
  const to = await webhooks(record, () => false);
  const tally = tallyOf(world, 3);
  const events = sequenceOf(world, 3, { duplicates: 0, disorder: 0 });
  await push({ events, tally, to, secret: 'x'.repeat(40), concurrency: 2, signal: ended.signal });
  expect(tally.report()).toMatchObject({
    events: 0,
    failed: [0, 1, 2].flatMap((n) => parcelOf(world, n).events).length,
  });
  expect(traces.size).toBe(0);
});

describe('polls', () => {
  const count = 30;
  let now: number;
  let simulator: Served;

  beforeEach(async () => {
    now = Date.UTC(2026, 2, 20);
    simulator = await serve({ world, parcels: count, credential: secret, clock: () => now, port: 0 });
    stops.push(() => simulator.stop());
  });

  const polled = (name: Carrier, more: Partial<PolledCarrier> = {}): PolledCarrier => ({
    adapter: formats[name === 'acme' ? 'caudal' : name](name),
    base: `${simulator.url}/${name}`,
    credentials: apiKey(secret),
    concurrency: 4,
    perSecond: 1_000,
    timeoutMs: 5_000,
    ...more,
  });

  /** A store in memory of all parcels of the simulation. */
  function polls() {
    const states = new Map<string, PollState>();
    for (let index = 0; index < count; index++) {
      const { carrier, trackingNumber } = parcelOf(world, index);
      states.set(`${carrier}/${trackingNumber}`, firstPoll(now));
    }
    const store: PollStore = {
      async due({ carrier, now: at, limit }) {
        const due = [...states].filter(([key, { nextAt }]) => key.startsWith(`${carrier}/`) && nextAt <= at);
        return due.slice(0, limit).map(([key, state]) => ({ trackingNumber: key.split('/')[1]!, state }));
      },
      async save({ carrier, trackingNumber, state }) {
        const key = `${carrier}/${trackingNumber}`;
        if (state) states.set(key, state);
        else states.delete(key);
      },
      async pause({ carrier, until }) {
        for (const [key, state] of states)
          if (key.startsWith(`${carrier}/`) && state.nextAt < until) states.set(key, { ...state, nextAt: until });
      },
    };
    return { states, store };
  }

  const numberOfCarrier = (name: Carrier) =>
    Array.from({ length: count }, (_, n) => parcelOf(world, n)).filter(({ carrier }) => carrier === name).length;

  test('in all formats: each event once, until the parcel has ended', async () => {
    const { traces, parcels, record } = tracking();
    const { states, store } = polls();
    now = world.startAt + 24 * 3_600_000;
    for (const [key, state] of states) states.set(key, { ...state, nextAt: now, newsAt: now });
    const options = {
      store,
      record,
      clock: () => new Date(now),
      pauses: new Map<string, number>(),
      signal: ended.signal,
    };
    const first = await pollCarriers(
      carriers.map((name) => polled(name)),
      options,
    );
    expect(Object.values(first).reduce((sum, { polled: each }) => sum + each, 0)).toBe(count);
    // Again, when nothing has happened: no news, and nothing is recorded.
    for (const [key, state] of states) states.set(key, { ...state, nextAt: now });
    const before = traces.size;
    for (const counts of Object.values(
      await pollCarriers(
        carriers.map((name) => polled(name)),
        options,
      ),
    ))
      expect(counts).toMatchObject({ news: 0, failed: 0 });
    expect(traces.size).toBe(before);
    now = Date.UTC(2026, 2, 25);
    for (const [key, state] of states) states.set(key, { ...state, nextAt: now });
    await pollCarriers(
      carriers.map((name) => polled(name)),
      options,
    );
    expect(states.size).toBe(0);
    for (let index = 0; index < count; index++) {
      const { carrier, trackingNumber, outcome, events } = parcelOf(world, index);
      expect(parcels.get(`${carrier}/${trackingNumber}`)).toMatchObject({ status: outcome, ended: true });
      expect(parcels.get(`${carrier}/${trackingNumber}`)!.recent).toHaveLength(events.length);
    }
  }, 30_000);

  test('a carrier that hangs delays its own parcels only', async () => {
    const { traces, record } = tracking();
    const { store, states } = polls();
    simulator.setMode('dhl', 'silent');
    const options = {
      store,
      record,
      clock: () => new Date(now),
      pauses: new Map<string, number>(),
      signal: ended.signal,
      random: () => 1,
    };
    const slow = polled('dhl', { timeoutMs: 200, concurrency: 2 });
    const counts = await pollCarriers([slow, polled('acme'), polled('ups')], options);
    expect(counts.dhl).toMatchObject({ news: 0, paused: 'FAILING' });
    expect(counts.dhl!.failed).toBeLessThanOrEqual(6);
    expect(counts.acme).toEqual({ polled: numberOfCarrier('acme'), news: numberOfCarrier('acme'), failed: 0 });
    expect(counts.ups).toEqual({ polled: numberOfCarrier('ups'), news: numberOfCarrier('ups'), failed: 0 });
    expect([...traces.values()].some(({ carrier }) => carrier === 'dhl')).toBe(false);
    // Those that were asked for wait; the others are due as before.
    expect([...states.values()].filter(({ failures }) => failures === 1)).toHaveLength(counts.dhl!.failed);
    simulator.setMode('dhl', 'normal');
    now += 5 * 60_000;
    expect(await pollCarrier(polled('dhl'), options)).toEqual({
      polled: numberOfCarrier('dhl'),
      news: numberOfCarrier('dhl'),
      failed: 0,
    });
  }, 30_000);

  test.each([
    ['fail', { paused: 'FAILING', news: 0 }],
    ['garbage', { paused: 'FAILING', news: 0 }],
    ['limit', { paused: 'LIMITED', news: 0, failed: 0 }],
  ] as const)('a carrier in mode %s is left alone', async (mode, expected) => {
    const { record } = tracking();
    const { store, states } = polls();
    simulator.setMode('acme', mode);
    const options = {
      store,
      record,
      clock: () => new Date(now),
      pauses: new Map<string, number>(),
      signal: ended.signal,
      random: () => 0,
    };
    expect(await pollCarrier(polled('acme', { concurrency: 1 }), options)).toMatchObject(expected);
    expect(simulator.requests.acme).toBe(mode === 'limit' ? 1 : 5);
    const waits = [...states.values()].map(({ nextAt }) => (nextAt - now) / 1_000).filter((seconds) => seconds > 0);
    expect(new Set(waits)).toEqual(new Set([mode === 'limit' ? 120 : 60]));
  });

  test('a wrong credential stops at once; what can’t be recorded is asked for again', async () => {
    const { store, states } = polls();
    const options = {
      store,
      record: async () => {},
      clock: () => new Date(now),
      pauses: new Map<string, number>(),
      signal: ended.signal,
    };
    expect(await pollCarrier(polled('ups', { credentials: apiKey('wrong'), concurrency: 1 }), options)).toMatchObject({
      paused: 'CREDENTIAL',
      polled: 1,
    });
    const full = async () => {
      throw new CaudalError('RESOURCE_EXHAUSTED', 'FULL', 'Later.');
    };
    const before = structuredClone([...states]);
    await expect(pollCarrier(polled('acme'), { ...options, record: full })).rejects.toThrow('Later.');
    expect([...states]).toEqual(before);
  });

  test('a carrier that wants fewer calls is not called in later runs either, until its time', async () => {
    const { store } = polls();
    simulator.setMode('dhl', 'limit');
    const pauses = new Map<string, number>();
    const options = { store, record: async () => {}, clock: () => new Date(now), pauses, signal: ended.signal };
    await pollCarrier(polled('dhl', { concurrency: 1 }), options);
    simulator.setMode('dhl', 'normal');
    now += 119_000;
    expect(await pollCarrier(polled('dhl'), options)).toEqual({ polled: 0, news: 0, failed: 0, paused: 'LIMITED' });
    expect(simulator.requests.dhl).toBe(1);
    now += 1_000;
    expect(await pollCarrier(polled('dhl'), options)).toMatchObject({ failed: 0 });
    expect(simulator.requests.dhl).toBeGreaterThan(1);
  });

  test('a token is bought once, renewed before it expires, and after it was refused', async () => {
    const { store, states } = polls();
    let bought = 0;
    const tokens = createServer((request, response) => {
      const basic = Buffer.from(request.headers.authorization!.slice(6), 'base64').toString();
      bought += 1;
      response.writeHead(basic === 'me:my secret' ? 200 : 401);
      // The second one is a token that the carrier does not know.
      response.end(JSON.stringify({ access_token: bought === 2 ? 'unknown' : secret, expires_in: '3600' }));
    });
    await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
    stops.push(() => new Promise((resolve) => tokens.close(resolve).closeAllConnections()));
    const tokenUrl = `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;
    const buy = (clientSecret: string) =>
      clientCredentials({ tokenUrl, clientId: 'me', clientSecret, timeoutMs: 5_000, clock: () => new Date(now) });
    const credentials = buy('my secret');
    const options = {
      store,
      record: async () => {},
      clock: () => new Date(now),
      pauses: new Map<string, number>(),
      signal: ended.signal,
    };
    const again = () => {
      for (const [key, state] of states) states.set(key, { ...state, nextAt: now });
      return pollCarrier(polled('ups', { credentials, concurrency: 4 }), options);
    };
    now = world.startAt + 24 * 3_600_000;
    expect(await again()).toMatchObject({ polled: numberOfCarrier('ups'), failed: 0 });
    expect(bought).toBe(1);
    now += 58 * 60_000;
    expect(await again()).toMatchObject({ failed: 0 });
    expect(bought).toBe(1);
    now += 60_000;
    expect(await again()).toMatchObject({ paused: 'CREDENTIAL' });
    expect(await again()).toMatchObject({ failed: 0 });
    expect(bought).toBe(3);
    await expect(buy('wrong').current(ended.signal)).rejects.toThrow('401');
  });

  test('keeps to its rate', async () => {
    const { store } = polls();
    const began = performance.now();
    const counts = await pollCarrier(polled('acme', { perSecond: 20, concurrency: 50 }), {
      store,
      record: async () => {},
      clock: () => new Date(now),
      pauses: new Map(),
      signal: ended.signal,
    });
    expect(performance.now() - began).toBeGreaterThan(((counts.polled - 2) * 1_000) / 20);
  });

  test('says afterwards what it has sent', async () => {
    const sent = (await (await fetch(`${simulator.url}/v1/sent`)).text()).trim().split('\n');
    const all = Array.from({ length: count }, (_, n) => parcelOf(world, n));
    expect(sent).toHaveLength(all.flatMap(({ events }) => events).length);
    const parcels = (await (await fetch(`${simulator.url}/v1/parcels`)).text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(parcels.map(({ trackingNumber, outcome }) => [trackingNumber, outcome])).toEqual(
      all.map(({ trackingNumber, outcome }) => [trackingNumber, outcome]),
    );
    const answer = await fetch(`${simulator.url}/v1/control`, { method: 'PUT', body: '{"carrier": "x"}' });
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('acme, dhl, ups')]);
  });
});
