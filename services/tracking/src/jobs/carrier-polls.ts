/**
 * The job that asks carriers for the parcels of shipments. A run lasts some minutes, and each carrier has a loop of its own in it: one
 * that is slow or fails holds up its own parcels only.
 */
import type { ContextJob } from '@caudal/context/context.ts';
import { TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { limitedTo, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { PolledCarrier } from '../carriers/ask.ts';
import { polledCarriers } from '../carriers/configured.ts';
import { type PollOptions, pollCarrier } from '../carriers/poll-runner.ts';
import { polls } from '../metrics.ts';
import type { TrackingSettings } from '../settings.ts';
import { forgetPolls, pollStore } from '../store/carrier-polls.ts';
import { messageOf } from '../trace-message.ts';

/** How long a run takes, if carriers are asked at all; another one follows at once. */
const runMs = 4 * 60_000;
/** Between two looks for parcels that are due. */
const pauseMs = 15_000;
/** A call takes a mebibyte, and a trace has 3.6 KB at most. */
const tracesOfCall = 250;

const log = logger('carrier-poll');

/** The job; one for a process, which remembers until when carriers want no calls. */
export function carrierPolls(): ContextJob<TrackingSettings> {
  const pauses = new Map<string, number>();
  return {
    name: 'carrier-polls',
    description: 'Asks the carriers of TRACKING_CARRIER_URLS for parcels of shipments that have not arrived.',
    schedule: { everyMs: 60_000 },
    async run({ database, settings, clock, client }, { signal }) {
      const tracking = client(TrackingServiceService);
      const carriers = polledCarriers(settings, clock);
      await forgetPolls(
        database,
        carriers.map(({ adapter }) => adapter.name),
      );
      if (carriers.length === 0) return;
      const limit = limitedTo(runMs, signal);
      const options: PollOptions = {
        store: pollStore(database),
        async record(traces) {
          for (let from = 0; from < traces.length; from += tracesOfCall)
            await tracking.recordTraces({ traces: traces.slice(from, from + tracesOfCall).map(messageOf) }, { signal });
        },
        clock,
        pauses,
        signal: limit.signal,
      };
      try {
        await askAll(carriers, options);
      } finally {
        limit.end();
      }
    },
  };
}

/** Ends with the signal. Rejects then if a carrier's loop has met what waiting does not help. */
async function askAll(carriers: readonly PolledCarrier[], options: PollOptions): Promise<void> {
  const ends = await Promise.allSettled(carriers.map((carrier) => askOften(carrier, options)));
  const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} carriers could not be asked: ${errors[0]}`);
}

async function askOften(carrier: PolledCarrier, options: PollOptions): Promise<void> {
  const { name } = carrier.adapter;
  while (!options.signal.aborted) {
    try {
      const { polled, news, failed, paused } = await pollCarrier(carrier, options);
      polls.add(news, { carrier: name, outcome: 'news' });
      polls.add(failed, { carrier: name, outcome: 'failed' });
      polls.add(polled - news - failed, { carrier: name, outcome: 'nothing' });
      // Until the next run.
      if (paused) return;
    } catch (error) {
      // The parcels stay due, and their traces are asked for again.
      if (options.signal.aborted) return;
      if (!isTransient(error)) throw error;
      log.warn({ carrier: name, err: error }, 'what a carrier has said could not be recorded');
    }
    await sleep(pauseMs, options.signal);
  }
}
