/** The tracking context: its settings, services, worker, saga, job and gauges. */
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import {
  ShippingQueryServiceService,
  ShippingServiceService,
} from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { workQueueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { startAnnouncer } from './announcer.ts';
import { restoreTraces } from './archive/restore-month.ts';
import { askedCarriers, pushingCarriers } from './carriers/configured.ts';
import { parcelLinkService } from './commands/parcel-link-service.ts';
import { trackingService } from './commands/tracking-service.ts';
import { linkErasureDecider } from './domain/link-erasure.ts';
import { parcelDecider } from './domain/parcel-stream.ts';
import { inboxOldest, inboxTraces, pendingChanges } from './gauges/backlog.ts';
import { archiveOldTraces } from './jobs/archive-traces.ts';
import { carrierPolls } from './jobs/carrier-polls.ts';
import { fillParcelPlaces } from './jobs/fill-places.ts';
import { forgetEndedLinks } from './jobs/forget-links.ts';
import { forgetOldTransits } from './jobs/forget-transits.ts';
import { makePartitions } from './jobs/make-partitions.ts';
import { migrations } from './migrations.ts';
import { trackingPageQueryService } from './queries/tracking-page-query-service.ts';
import { trackingQueryService } from './queries/tracking-query-service.ts';
import { openQueue } from './queue/open-queue.ts';
import { queueOfTraces } from './queue/trace-queue-name.ts';
import { linkErasures } from './sagas/link-erasures.ts';
import { parcelSaga } from './sagas/parcels.ts';
import { settings } from './settings.ts';
import { startWorker } from './worker.ts';

/** How often the announcer looks for what a process that died has left. */
const announceEveryMs = 2_000;
/** Most of the time from call to page, if the call was to another process, and there is no broker. */
const pollMs = 100;
/** In an embedded system nobody else puts traces: an idle one shall take next to no processor time. */
const embeddedMs = 10_000;

export const tracking = defineContext({
  name: 'tracking',
  settings,
  permissions: [
    'shipping.shipments.read:any',
    'shipping.shipments.write',
    // What carriers answer goes the way of all traces.
    'tracking.traces.write',
    ...logPermissions('customers', 'shipping'),
  ],
  tables: { migrations, personal: false },
  deciders: [parcelDecider, linkErasureDecider],
  commands: ({ database, broker, clock, settings }) => [
    trackingService({
      queue: openQueue({ database, broker, maxTraces: settings.TRACKING_QUEUE_TRACES }),
      clock,
      carriers: pushingCarriers(settings),
    }),
    parcelLinkService({ database, clock }),
  ],
  queries: ({ database, clock, archive }) => [
    trackingQueryService({ database, clock, archive }),
    trackingPageQueryService({ database, clock }),
  ],
  projections: [],
  workQueues: [workQueueName(queueOfTraces)],
  workers({ aggregates, database, broker, clock, ids, settings, embedded }) {
    const queue = openQueue({ database, broker, maxTraces: settings.TRACKING_QUEUE_TRACES });
    const everyMs = embedded ? embeddedMs : announceEveryMs;
    const announcer = startAnnouncer({ database, aggregates, ids, everyMs });
    const rate = settings.TRACKING_WRITE_RATE;
    const worker = startWorker({
      queue,
      clock,
      rate,
      onChanges: announcer.wake,
      pollMs: embedded ? embeddedMs : pollMs,
    });
    // The first to be stopped is the last.
    return [announcer, worker];
  },
  jobs: [makePartitions, carrierPolls(), forgetOldTransits, archiveOldTraces, fillParcelPlaces, forgetEndedLinks],
  archived: { job: archiveOldTraces.name, restoreMonth: restoreTraces },
  gauges: [inboxTraces, inboxOldest, pendingChanges],
  sagas: ({ aggregates, client, database, clock, signal, settings }) => {
    const saga = parcelSaga({
      database,
      shipping: client(ShippingServiceService),
      shipments: client(ShippingQueryServiceService),
      asked: askedCarriers(settings),
    });
    return [
      createSagaHandler({ saga, aggregates, database, clock, signal }),
      createSagaHandler({ saga: linkErasures({ database }), aggregates, database, clock, signal }),
    ];
  },
});
