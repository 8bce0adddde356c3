/** For tests: tracking on a real PostgreSQL, of which several processes can be opened. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type {
  TrackingQueryServiceService,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Archive } from '@caudal/eventlog/archive/archive.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { startAnnouncer } from '../announcer.ts';
import type { CarrierEndpoint } from '../carriers/webhook.ts';
import { trackingService } from '../commands/tracking-service.ts';
import { migrations } from '../migrations.ts';
import { trackingQueryService } from '../queries/tracking-query-service.ts';
import { openQueue } from '../queue/open-queue.ts';
import { startWorker } from '../worker.ts';

/** A trace of a parcel at the carrier ACME. */
export function trace(number: string, minutes: number, more: Partial<Trace> = {}): Trace {
  const happenTime = new Date(Date.UTC(2026, 9, 1) + minutes * 60_000);
  return Trace.fromPartial({ carrier: 'ACME', trackingNumber: number, happenTime, ...more });
}

interface WorldOptions {
  broker?: Broker;
  maxTraces?: number;
  /** Carriers that push. */
  carriers?: ReadonlyMap<string, CarrierEndpoint>;
}

export async function openWorld({ broker, maxTraces = 100_000, carriers = new Map() }: WorldOptions = {}) {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: 'tracking', sets: [logMigrations, migrations] });
  const log = memoryLog({ domain: 'tracking' });
  const closing: (() => Promise<void>)[] = [];

  /** A process: its own connections and its own queue. */
  function open({ archive }: { archive?: Archive } = {}) {
    // As a process has it.
    const database = openDatabase({ url: fresh.url, schema: 'tracking', derived: true });
    const queue = openQueue({ database, broker, maxTraces });
    const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
    const service = trackingService({ queue, clock: systemClock, carriers });
    const queryService = trackingQueryService({ database, clock: systemClock, archive });
    closing.push(() => database.close());
    return {
      ...{ database, queue, aggregates, service },
      api: service.handlers as unknown as Handlers<TrackingServiceService>,
      queries: queryService.handlers as unknown as Handlers<TrackingQueryServiceService>,
      /** Starts its worker and its announcer; `stop` ends both. */
      work() {
        const announcer = startAnnouncer({ database, aggregates, ids: newId, everyMs: 100 });
        const worker = startWorker({ queue, clock: systemClock, rate: 0, onChanges: announcer.wake, pollMs: 50 });
        let stopped: Promise<void> | undefined;
        const stop = () => {
          stopped ??= worker.stop().then(() => announcer.stop());
          return stopped;
        };
        closing.unshift(stop);
        return { stop };
      },
    };
  }

  return {
    log,
    url: fresh.url,
    open,
    ...open(),
    async drop() {
      for (const close of closing) await close();
      await fresh.drop();
    },
  };
}

export type World = Awaited<ReturnType<typeof openWorld>>;
