/**
 * The contexts' projections and sagas as handlers of events, for the roles and for commands of apps/cli.
 */

import type { ContextProjection } from '@caudal/context/context.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { followedDomains } from '@caudal/projections/events.ts';
import { createHandler } from '@caudal/projections/generations/generation.ts';
import type { RebuildOptions } from '@caudal/projections/generations/rebuild.ts';
import type { ProjectorOptions } from '@caudal/projections/projector.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import type { App } from '../app.ts';
import { afterWrites } from '../caching/view-caching.ts';
import type { LocalContext } from '../local-context.ts';
import { generationHooks } from './generation-hooks.ts';

/** A projection of one of the process's contexts. */
export interface LocalProjection {
  local: LocalContext;
  definition: ContextProjection;
}

/** All projections of the process's contexts. */
export function projectionsOf({ locals }: App): LocalProjection[] {
  return locals.flatMap((local) => local.context.projections.map((definition) => ({ local, definition })));
}

/** The store of a projection's views. */
export function viewStoreOf({ stores }: App, { local, definition }: LocalProjection): ViewStore {
  return stores.views(local.context, definition.store, local.database);
}

/** The logs that a projection follows. */
export function logsOf(app: App, { local, definition }: LocalProjection): Map<string, LogReader> {
  return app.logsFor(local.context, followedDomains(definition.projection));
}

/** The options for building a generation of the projection. */
export function rebuildOptions<V>(app: App, of: LocalProjection): RebuildOptions<V> {
  const { database } = of.local;
  const logs = logsOf(app, of);
  return {
    projection: of.definition.projection,
    store: viewStoreOf(app, of),
    logs,
    ...generationHooks({
      logs,
      broker: app.stores.broker,
      registries: app.registriesFor(of.local.context, followedDomains(of.definition.projection)),
      database,
      holder: app.holder,
    }),
    signal: app.lifecycle.ending,
  };
}

/** Invalidates the cached views that a projector has written, or replaces them. */
export function cacheInvalidation(
  { stores, values, has }: App,
  definition: ContextProjection,
): NonNullable<ProjectorOptions<unknown>['onWritten']> {
  const isShared = values.REDIS_URL !== undefined || has('query');
  return afterWrites({ cache: stores.cache, definition, caches: values.CAUDAL_CACHES, isShared });
}

/** The handler that feeds one generation of a projection. */
export function projectionHandler(app: App, of: LocalProjection, generation: number): AnyHandler {
  const { projection } = of.definition;
  const onWritten = cacheInvalidation(app, of.definition);
  return createHandler({ projection, store: viewStoreOf(app, of), generation, onWritten });
}

/**
 * The handlers of a context's sagas. They may open resources; the end of the lifecycle closes them.
 */
export async function sagaHandlers(app: App, local: LocalContext): Promise<TimedHandler[]> {
  const { context, database } = local;
  const { lifecycle, values } = app;
  const development = values.DATABASE_URL === undefined;
  const tokenLifetimeMs = values.CAUDAL_TOKEN_MAX_LIFETIME;
  return context.sagas({ ...app.toolsOf(local), database, signal: lifecycle.ending, development, tokenLifetimeMs });
}
