/** The projector role: builds missing views of its contexts' projections, and keeps all of them up to date. */
import { oneAtATime } from '@caudal/kernel/concurrency.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { followGenerations } from '@caudal/projections/generations/follow-generations.ts';
import { watchLosses } from '@caudal/projections/generations/losses.ts';
import { ensureBuilt, rebuild } from '@caudal/projections/generations/rebuild.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { App } from '../app.ts';
import { cacheInvalidation, type LocalProjection, projectionsOf, rebuildOptions } from '../handlers/handlers.ts';
import { subscribe } from '../handlers/subscribe.ts';

const log = logger('projector');

/** Starts all projections; returns once each has a first generation, or the process is ending. */
export async function startProjectors(app: App): Promise<void> {
  const wanted = app.values.CAUDAL_PROJECTIONS;
  const rebuilding = oneAtATime();
  await Promise.all(
    projectionsOf(app)
      .filter(({ definition }) => !wanted || wanted.includes(definition.projection.name))
      .map((projection) => startProjector(app, projection, rebuilding)),
  );
}

async function startProjector(app: App, of: LocalProjection, rebuilding: ReturnType<typeof oneAtATime>): Promise<void> {
  const { context, database } = of.local;
  const { projection } = of.definition;
  const { lifecycle } = app;
  const options = rebuildOptions(app, of);
  for (let attempt = 1; !lifecycle.ending.aborted; attempt++) {
    try {
      await ensureBuilt(options);
      break;
    } catch (error) {
      if (!isTransient(error)) throw error;
      log.warn({ projection: projection.name, err: error }, "the views can't be built yet: trying again");
      await sleep(backoffMs(attempt, { firstMs: 500, maxMs: 10_000 }), lifecycle.ending);
    }
  }
  const following = followGenerations({
    projection,
    store: options.store,
    start: (handler) => subscribe(app, context, database, handler),
    release: options.release,
    onWritten: cacheInvalidation(app, of.definition),
  });
  lifecycle.onStop(`projection ${projection.name}`, () => following.stop());
  const losses = watchLosses({
    projection,
    store: options.store,
    logs: options.logs,
    database,
    holder: app.holder,
    // One after the other: the server that lives on has the load of all.
    rebuild: () => rebuilding(() => rebuild(options)),
  });
  lifecycle.onStop(`losses of ${projection.name}`, () => losses.stop());
}
