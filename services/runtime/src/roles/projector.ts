/** The projector role: builds the views of its contexts' projections where there are none, and keeps them up to date. */
import type { ContextProjection } from '@caudal/context/context.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { followGenerations } from '@caudal/projections/follow-generations.ts';
import { ensureBuilt, type RebuildOptions } from '@caudal/projections/rebuild.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { domainsOf } from '../domains.ts';
import { generationHooks } from '../generation-hooks.ts';
import type { LocalContext } from '../local-context.ts';
import type { Process } from '../process.ts';
import { subscribe } from '../subscribe.ts';
import { cacheKey } from '../view-readers.ts';

const log = logger('projector');

/** Starts all of them; returns once the first generation of each is there, or is not to be had for now. */
export async function startProjectors(process: Process): Promise<void> {
  const wanted = process.values.CAUDAL_PROJECTIONS;
  await Promise.all(
    process.locals.flatMap((local) =>
      local.context.projections
        .filter(({ projection }) => !wanted || wanted.includes(projection.name))
        .map((definition) => startProjector(process, local, definition)),
    ),
  );
}

/** What it takes to build a generation of the projection, here or by hand. */
export function rebuildOptions<V>(
  process: Process,
  local: LocalContext,
  { projection, store }: ContextProjection,
): RebuildOptions<V> {
  const { context, database } = local;
  return {
    projection,
    store: process.stores.views(context, store, database),
    logs: process.logsFor(context, domainsOf(projection.follows.map(({ entity }) => entity.name))),
    ...generationHooks({ broker: process.stores.broker, database, holder: process.holder }),
    signal: process.lifecycle.ending,
  };
}

async function startProjector(process: Process, local: LocalContext, definition: ContextProjection): Promise<void> {
  const { projection } = definition;
  const { lifecycle, stores } = process;
  const options = rebuildOptions(process, local, definition);
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
    start: (handler) => subscribe(process, local.context, local.database, handler),
    release: options.release,
    async onWritten(generation, views) {
      await Promise.all(
        views.map(({ id, revision }) => stores.cache.invalidate(cacheKey(projection, generation, id), revision)),
      );
    },
  });
  lifecycle.onStop(`projection ${projection.name}`, () => following.stop());
}
