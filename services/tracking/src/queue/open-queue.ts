/**
 * Chooses the queue: RabbitMQ, if there is a broker; else a table. What was put into the table before there was a broker, or is put by
 * processes that do not have it yet, is written all the same.
 */
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openInbox } from './postgres-inbox.ts';
import type { Lane, TraceQueue } from './types.ts';

/** A process has one, so that what it puts wakes its own worker. */
const open = new WeakMap<Database, TraceQueue>();

export interface QueueOptions {
  database: Database;
  broker: Broker | undefined;
  /** About how many traces the table holds at most. */
  maxTraces: number;
}

export function openQueue({ database, broker, maxTraces }: QueueOptions): TraceQueue {
  const known = open.get(database);
  if (known) return known;
  const inbox = openInbox({ database, maxTraces });
  const queue = broker ? { ...rabbitQueue(broker, database), former: inbox } : inbox;
  open.set(database, queue);
  return queue;
}

/** Its library is loaded only where there is a broker. */
function rabbitQueue(broker: Broker, database: Database): TraceQueue {
  let loaded: TraceQueue | undefined;
  const loading = import('./rabbit-queue.ts').then(({ openRabbitQueue }) => {
    loaded = openRabbitQueue({ broker, database });
    return loaded;
  });
  return {
    accepted: () => loaded?.accepted() ?? 0,
    put: async (...of) => (await loading).put(...of),
    lane(options): Lane {
      const lane = loading.then((queue) => queue.lane(options));
      return {
        take: async (...of) => (await lane).take(...of),
        stop: async () => (await lane).stop(),
      };
    },
  };
}
