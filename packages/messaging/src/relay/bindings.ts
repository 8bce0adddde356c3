/** The bindings of a log's followers, as a relay changes them: one change at a time of each queue. */
import { forEachConcurrent, keyedQueue } from '@caudal/kernel/concurrency.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { type Binding, bindKeys, queueName, unbindKeys } from '../rabbitmq/topology.ts';
import type { BoundQueue } from './followers.ts';

const atOnce = 16;
const log = logger('relay');

export function openBindings({ broker, domain }: { broker: Broker; domain: string }) {
  const inTurn = keyedQueue();
  const fullName = ({ queue, stranger }: BoundQueue) => (stranger ? queue : queueName(queue, broker.prefix));
  const change = (of: BoundQueue) => ({ broker, domain, queue: fullName(of), keys: of.keys });

  return {
    fullName,
    /** Binds a queue; `onBound` runs before any other change of it. UNAVAILABLE if there is no answer. */
    bind: (of: BoundQueue, onBound = () => {}): Promise<Binding> =>
      inTurn(of.queue, async () => {
        const done = await bindKeys(change(of));
        if (done === 'done') onBound();
        return done;
      }),
    /**
     * Unbinds the queues for which `isWanted` is true when it is their turn. Returns those that the broker does not let
     * us unbind. A queue for which there is no answer stays bound: publishing will find it again.
     */
    async unbind<Q extends BoundQueue>(queues: Q[], isWanted: (of: Q) => boolean): Promise<Q[]> {
      const denied: Q[] = [];
      await forEachConcurrent(queues, atOnce, (of) =>
        inTurn(of.queue, async () => {
          if (!isWanted(of)) return;
          const done = await unbindKeys(change(of)).catch((error: unknown) =>
            log.warn(
              { domain, queue: of.queue, err: error },
              'the bindings of a queue that is set aside are not removed',
            ),
          );
          if (done === 'denied') denied.push(of);
        }),
      );
      return denied;
    },
  };
}

export type Bindings = ReturnType<typeof openBindings>;
