/** The bindings of a log's followers, as a relay changes them: one change at a time of each queue. */
import { forEachConcurrent, keyedQueue } from '@caudal/kernel/concurrency.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { type Binding, bindKeys, unbindKeys } from '../rabbitmq/topology.ts';
import type { BoundQueue } from './followers.ts';

const atOnce = 16;
const log = logger('relay');

export function openBindings({ broker, domain, signal }: { broker: Broker; domain: string; signal: AbortSignal }) {
  const inTurn = keyedQueue();

  return {
    /** Runs when nothing else changes the queue's bindings, or what follows from them. */
    inTurn,
    /**
     * Binds a queue if `isWanted` is true when it is its turn, and then runs `onBound`, before any other change of it.
     * Undefined: it is not wanted, the signal has fired, or the broker gives no answer.
     */
    bind: (
      queue: BoundQueue,
      { isWanted = () => true, onBound = () => {} }: { isWanted?(): boolean; onBound?(): void } = {},
    ): Promise<Binding | undefined> =>
      inTurn(queue.queue, async () => {
        if (signal.aborted || !isWanted()) return undefined;
        try {
          const done = await bindKeys({ broker, domain, queue: queue.queue, keys: queue.keys });
          if (done === 'done') onBound();
          return done;
        } catch (error) {
          log.warn({ domain, queue: queue.queue, err: error }, 'a queue could not be bound');
          return undefined;
        }
      }),
    /**
     * Unbinds the queues for which `isWanted` is true when it is their turn. Returns those that the broker does not let
     * us unbind. A queue for which there is no answer stays bound: the next trouble unbinds it again.
     */
    async unbind<Q extends BoundQueue>(queues: Q[], isWanted: (queue: Q) => boolean): Promise<Q[]> {
      const denied: Q[] = [];
      await forEachConcurrent(queues, atOnce, (queue) =>
        inTurn(queue.queue, async () => {
          if (signal.aborted || !isWanted(queue)) return;
          const change = { broker, domain, queue: queue.queue, keys: queue.keys };
          const done = await unbindKeys(change).catch((error: unknown) =>
            log.warn({ domain, queue: queue.queue, err: error }, 'the bindings of a queue are not removed'),
          );
          if (done === 'denied') denied.push(queue);
        }),
      );
      return denied;
    },
  };
}

export type Bindings = ReturnType<typeof openBindings>;
