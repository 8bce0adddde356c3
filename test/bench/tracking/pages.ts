/** A parcel's page of a real process: how soon it shows a trace, and what it costs through REST. */
import {
  GetParcelRequest,
  Parcel,
  ParcelStatus,
  RecordTracesRequest,
  RecordTracesResponse,
  Trace,
  TrackingQueryServiceService,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { status } from '@grpc/grpc-js';
import { openRest } from '../http.ts';
import { startHttpEcho } from '../http-echo.ts';
import { closedLoop, takeTurns } from '../load.ts';
import type { Runtime } from '../runtime.ts';
import { carrier } from './traces.ts';

const ofCall = 10;
/** Of so many calls one trace is watched: to ask for all of them would be the load. */
const watchedEach = 5;
const pollMs = 5;
const giveUpMs = 20_000;
const clients = 64;
/** These are read again and again. */
const few = 10;

function openTracking({ method }: Runtime) {
  const { recordTraces } = TrackingServiceService;
  const record = method(recordTraces.path, RecordTracesRequest, RecordTracesResponse);
  const get = method(TrackingQueryServiceService.getParcel.path, GetParcelRequest, Parcel);
  return {
    async record(numbers: string[]): Promise<void> {
      const traces = numbers.map((trackingNumber) =>
        Trace.fromPartial({
          ...{ carrier, trackingNumber, happenTime: new Date(), detail: 'Arrived at the sorting centre' },
          status: ParcelStatus.PARCEL_STATUS_IN_TRANSIT,
        }),
      );
      await record.call({ traces });
    },
    /** Waits until the parcel has a page. */
    async seen(trackingNumber: string): Promise<void> {
      const request = { carrier, trackingNumber, readMask: undefined };
      for (const end = performance.now() + giveUpMs; ; await sleep(pollMs))
        try {
          await get.call(request);
          return;
        } catch (error) {
          if ((error as { code?: number }).code !== status.NOT_FOUND || performance.now() > end) throw error;
        }
    },
    close() {
      record.close();
      get.close();
    },
  };
}

/** Traces of new parcels at this rate. From the call until a page shows the trace, for some of them, in milliseconds, sorted. */
export async function untilVisible(runtime: Runtime, load: { perSecond: number; seconds: number; name: string }) {
  const { perSecond, seconds, name } = load;
  const tracking = openTracking(runtime);
  const times: number[] = [];
  async function run(forSeconds: number, part: string): Promise<void> {
    const calls: Promise<void>[] = [];
    const send = async (call: number) => {
      const numbers = Array.from({ length: ofCall }, (_, n) => `${name}${part}${call}x${n}`);
      const began = performance.now();
      await tracking.record(numbers);
      if (call % watchedEach !== 0) return;
      await tracking.seen(numbers.at(-1)!);
      times.push(performance.now() - began);
    };
    const began = performance.now();
    const all = (forSeconds * perSecond) / ofCall;
    for (let sent = 0; sent < all; ) {
      const due = Math.min(all, ((performance.now() - began) / 1_000) * (perSecond / ofCall));
      for (; sent < due; sent++) calls.push(send(sent));
      await sleep(pollMs);
    }
    await Promise.all(calls);
  }
  try {
    await run(2, 'warm');
    times.length = 0;
    await run(seconds, 'run');
    return Float64Array.from(times).sort();
  } finally {
    tracking.close();
  }
}

/** Pages a second through REST: of a few parcels, of many, and of a bare HTTP server with as many bytes. */
export async function readPages(
  runtime: Runtime,
  load: { many: number; seconds: number; rounds: number; say(what: string): void },
) {
  const { many, seconds, rounds, say } = load;
  const tracking = openTracking(runtime);
  const rest = openRest(runtime.part.rest, runtime.token);
  const name = 'PAGE';
  const pathOf = (n: number) => `/v1/parcels/${carrier}/${name}${n}`;
  let stopEcho = () => {};
  let echo: ReturnType<typeof openRest> | undefined;
  try {
    for (let from = 0; from < many; from += 1_000)
      await tracking.record(Array.from({ length: Math.min(1_000, many - from) }, (_, n) => `${name}${from + n}`));
    for (let n = 0; n < many; n += 500) await tracking.seen(`${name}${n}`);
    await tracking.seen(`${name}${many - 1}`);
    const started = await startHttpEcho(await rest.send('GET', pathOf(0)));
    stopEcho = started.stop;
    echo = openRest(started.url, runtime.token);
    const bare = echo;
    let asked = 0;
    const next = () => ++asked * 7_919;
    const run = (work: () => Promise<unknown>) => () => closedLoop({ clients, seconds, work });
    return await takeTurns(
      {
        few: run(() => rest.send('GET', pathOf(next() % few))),
        many: run(() => rest.send('GET', pathOf(next() % many))),
        echo: run(() => bare.send('GET', pathOf(next() % many))),
      },
      { rounds, say },
    );
  } finally {
    stopEcho();
    echo?.close();
    rest.close();
    tracking.close();
  }
}
