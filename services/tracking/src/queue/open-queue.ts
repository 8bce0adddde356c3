/** Chooses the queue: RabbitMQ, if there is a broker; else a table. */
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openInbox } from './postgres-inbox.ts';
import { openRabbitQueue } from './rabbit-queue.ts';
import type { TraceQueue } from './types.ts';

/** A process has one, so that what it puts wakes its own worker. */
const open = new WeakMap<Database, TraceQueue>();

/** Without a worker in the same process it is looked at this often: most of the time from call to page. */
const pollMs = 100;
const embeddedPollMs = 5_000;

export interface QueueOptions {
  database: Database;
  broker: Broker | undefined;
  /** About how many traces the table holds at most. */
  maxTraces: number;
  embedded?: boolean;
}

export function openQueue({ database, broker, maxTraces, embedded = false }: QueueOptions): TraceQueue {
  const known = open.get(database);
  if (known) return known;
  const queue = broker
    ? openRabbitQueue({ broker, database })
    : openInbox({ database, maxTraces, pollMs: embedded ? embeddedPollMs : pollMs });
  open.set(database, queue);
  return queue;
}
