/** Chooses the queue: RabbitMQ, if there is a broker; else a table. */
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openInbox } from './postgres-inbox.ts';
import { openRabbitQueue } from './rabbit-queue.ts';
import type { TraceQueue } from './types.ts';

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
  const queue = broker ? openRabbitQueue({ broker, database }) : openInbox({ database, maxTraces });
  open.set(database, queue);
  return queue;
}
