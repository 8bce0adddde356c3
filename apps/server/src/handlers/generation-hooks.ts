/** The parts of a generation outside its store: its queue, and its checkpoints. */

import { type Epoch, presentOf } from '@caudal/eventlog/epochs.ts';
import { feedCheckpoint, sweepCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { deleteHandlerState } from '@caudal/messaging/delete-handler-state.ts';
import type { Logs } from '@caudal/messaging/logs.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import { bindHandler, type Registries } from '@caudal/messaging/rabbitmq/register.ts';
import { deleteHandler } from '@caudal/messaging/rabbitmq/topology.ts';
import { openParking } from '@caudal/messaging/subscription/parking.ts';
import { acquire, advance, release, setBack } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { RebuildOptions } from '@caudal/projections/generations/rebuild.ts';

type Hooks = Pick<RebuildOptions<unknown>, 'bind' | 'filled' | 'parking' | 'release'>;

export function generationHooks({
  broker,
  registries,
  logs,
  database,
  holder,
}: {
  broker: Broker | undefined;
  /** Of the logs that the projection follows. */
  registries: Registries;
  logs: Logs;
  database: Database;
  holder: string;
}): Hooks {
  return {
    async bind(handler) {
      // What needs the log's order has no queue.
      if (broker && !handler.inOrder) await bindHandler({ broker, handler, registries });
    },
    // Both continue from here: the log feed, and reconciliation, whose checkpoints are recorded as `sweep:`.
    async filled(handler, positions) {
      for (const [domain, position] of positions) {
        const epoch = presentOf(logs.get(domain)?.epochs?.() ?? []);
        for (const name of [feedCheckpoint(handler, domain), sweepCheckpoint(handler, domain)]) {
          await moveTo(database, { name, holder: `${holder}:filled`, position, epoch });
        }
      }
    },
    parking: (handler) => openParking({ handler, database }),
    async release(handler) {
      if (broker) await deleteHandler({ broker, handler });
      await deleteHandlerState(database, handler);
    },
  };
}

async function moveTo(
  database: Database,
  { name, holder, position, epoch }: { name: string; holder: string; position: number; epoch: Epoch },
): Promise<void> {
  const lease = await acquire(database, { name, holder, ttlMs: 5_000 });
  // Another process consumes already, and advances the checkpoint itself.
  if (!lease) return;
  if (epoch.number > 0) {
    // It is a position of the log's present epoch.
    const moved = { name, epoch: lease.epoch, position: Number.MAX_SAFE_INTEGER, logEpoch: epoch };
    await setBack(database, moved);
  }
  await advance(database, { name, epoch: lease.epoch, position, ttlMs: 5_000 });
  await release(database, { name, epoch: lease.epoch });
}
