/** The queue with a broker: a quorum queue with confirms. A batch is acknowledged after the commit that writes it. */
import { TraceBatch } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import { openWorkQueue } from '@caudal/messaging/rabbitmq/work-queue.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openLevel } from './fill-level.ts';
import { groupPuts, queueFull } from './group-puts.ts';
import { queueOfTraces } from './trace-queue-name.ts';
import type { TraceQueue } from './types.ts';

/** Batches that a worker holds: what it writes, and the next ones. */
const prefetch = 8;

export interface RabbitQueueOptions {
  broker: Broker;
  database: Database;
  /** Messages that wait at most; 20,000 if absent. A message has 1 to 1,000 traces: under load nearly all are full. */
  maxMessages?: number;
}

export function openRabbitQueue({ broker, database, maxMessages = 20_000 }: RabbitQueueOptions): TraceQueue {
  /** The broker refuses what is beyond `maxMessages`, this process what callers that can wait put beyond seven eighths. */
  const maxPatient = Math.floor((maxMessages * 7) / 8);
  const queue = openWorkQueue({ broker, name: queueOfTraces, maxMessages });
  const level = openLevel(queue.length);
  return {
    ...groupPuts(async ({ body, patient }) => {
      if (patient && !(await level.fits(1, maxPatient))) throw queueFull();
      try {
        await queue.publish(body);
      } catch (error) {
        throw isCode(error, 'RESOURCE_EXHAUSTED') ? queueFull() : error;
      }
    }),
    lane() {
      /** Of messages that are held: one is weighed before it is taken, and may be taken again. */
      const decoded = new WeakMap<Buffer, Buffer[]>();
      const bodiesOf = (content: Buffer): Buffer[] => {
        const bodies = decoded.get(content) ?? TraceBatch.decode(content).traces;
        decoded.set(content, bodies);
        return bodies;
      };
      const consumer = queue.consume({ prefetch, weigh: (content) => bodiesOf(content).length });
      return {
        async take(limit, write, signal) {
          let traces = 0;
          await consumer.take(
            limit,
            async (batch) => {
              const bodies = batch.flatMap(({ content }) => bodiesOf(content));
              traces = bodies.length;
              await database.transaction((tx) => write(tx, bodies));
            },
            signal,
          );
          return traces;
        },
        stop: () => consumer.stop(),
      };
    },
  };
}
