/**
 * What the contexts' projections and processes are to the runtime: handlers of events. Roles put them to work, and
 * commands (cli/) use the same ones by hand.
 */
import type { ContextProjection } from '@caudal/context/context.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import type { TimedHandler } from '@caudal/processes/process-handler.ts';
import { createProjector, type ProjectorOptions } from '@caudal/projections/projector.ts';
import type { RebuildOptions } from '@caudal/projections/rebuild.ts';
import type { ViewStore } from '@caudal/projections/store.ts';
import { domainsOf } from './domains.ts';
import { generationHooks } from './generation-hooks.ts';
import type { LocalContext } from './local-context.ts';
import type { Process } from './process.ts';
import { cacheKey } from './view-readers.ts';

/** A projection of one of the process's contexts. */
export interface LocalProjection {
  local: LocalContext;
  definition: ContextProjection;
}

/** All projections of the process's contexts. */
export function projectionsOf({ locals }: Process): LocalProjection[] {
  return locals.flatMap((local) => local.context.projections.map((definition) => ({ local, definition })));
}

/** Where a projection's views are. */
export function viewStoreOf({ stores }: Process, { local, definition }: LocalProjection): ViewStore {
  return stores.views(local.context, definition.store, local.database);
}

/** The logs that a projection follows. */
export function logsOf(process: Process, { local, definition }: LocalProjection): Map<string, LogReader> {
  const entities = definition.projection.follows.map(({ entity }) => entity.name);
  return process.logsFor(local.context, domainsOf(entities));
}

/** What it takes to build a generation of the projection. */
export function rebuildOptions<V>(process: Process, of: LocalProjection): RebuildOptions<V> {
  const { database } = of.local;
  return {
    projection: of.definition.projection,
    store: viewStoreOf(process, of),
    logs: logsOf(process, of),
    ...generationHooks({ broker: process.stores.broker, database, holder: process.holder }),
    signal: process.lifecycle.ending,
  };
}

/** Tells the caches what was written. */
export function whenWritten(
  { stores }: Process,
  { projection }: ContextProjection,
): NonNullable<ProjectorOptions<unknown>['onWritten']> {
  return async (generation, views) => {
    await stores.cache.invalidate(
      ...views.map(({ id, revision }) => ({ key: cacheKey(projection, generation, id), version: revision })),
    );
  };
}

/** The handler that feeds one generation of a projection. */
export function projectionHandler(process: Process, of: LocalProjection, generation: number): EventHandler {
  const { projection } = of.definition;
  const onWritten = whenWritten(process, of.definition);
  return createProjector({ projection, store: viewStoreOf(process, of), generation, onWritten });
}

/** The handlers of a context's processes. They may open what they need; the end of the lifecycle ends it. */
export async function processHandlers(process: Process, local: LocalContext): Promise<TimedHandler[]> {
  const { context, database } = local;
  const { lifecycle, values } = process;
  const development = values.DATABASE_URL === undefined;
  return context.processes({ ...process.toolsOf(local), database, signal: lifecycle.ending, development });
}
