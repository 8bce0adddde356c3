/** The projector role: builds the views of its contexts' projections where there are none, and keeps them up to date. */
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { followGenerations } from '@caudal/projections/follow-generations.ts';
import { ensureBuilt } from '@caudal/projections/rebuild.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type LocalProjection, projectionsOf, rebuildOptions, whenWritten } from '../handlers.ts';
import type { Process } from '../process.ts';
import { subscribe } from '../subscribe.ts';

const log = logger('projector');

/** Starts all of them; returns once the first generation of each is there, or is not to be had for now. */
export async function startProjectors(process: Process): Promise<void> {
  const wanted = process.values.CAUDAL_PROJECTIONS;
  await Promise.all(
    projectionsOf(process)
      .filter(({ definition }) => !wanted || wanted.includes(definition.projection.name))
      .map((projection) => startProjector(process, projection)),
  );
}

async function startProjector(process: Process, of: LocalProjection): Promise<void> {
  const { context, database } = of.local;
  const { projection } = of.definition;
  const { lifecycle } = process;
  const options = rebuildOptions(process, of);
  for (let attempt = 1; !lifecycle.ending.aborted; attempt++) {
    try {
      await ensureBuilt(options);
      break;
    } catch (error) {
      if (!isTransient(error)) throw error;
      log.warn({ projection: projection.name, err: error }, 'the views can not be built yet');
      await sleep(backoffMs(attempt, { firstMs: 500, maxMs: 10_000 }), lifecycle.ending);
    }
  }
  const following = followGenerations({
    projection,
    store: options.store,
    start: (handler) => subscribe(process, context, database, handler),
    release: options.release,
    onWritten: whenWritten(process, of.definition),
  });
  lifecycle.onStop(`projection ${projection.name}`, () => following.stop());
}
