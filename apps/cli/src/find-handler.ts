/** Finds the handler of a name: a projection's generation, or a saga. */
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { readGenerations } from '@caudal/projections/generations/generations.ts';
import { generationName } from '@caudal/projections/projector.ts';
import type { App } from '@caudal/server/app.ts';
import {
  type LocalProjection,
  projectionHandler,
  projectionsOf,
  sagaHandlers,
  viewStoreOf,
} from '@caudal/server/handlers/handlers.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';

export interface FoundHandler {
  handler: AnyHandler;
  /** The projection's name, if it is one. */
  view?: string;
  local: LocalContext;
}

/** Undefined if no handler has this name. */
export async function findHandler(system: App, name: string): Promise<FoundHandler | undefined> {
  for (const of of projectionsOf(system)) {
    for (const number of await generationsOf(system, of)) {
      if (generationName(of.definition.projection, number) !== name) continue;
      return { handler: projectionHandler(system, of, number), local: of.local, view: of.definition.projection.name };
    }
  }
  for (const local of system.locals) {
    const handler = (await sagaHandlers(system, local)).find((candidate) => candidate.name === name);
    if (handler) return { handler, local };
  }
  return undefined;
}

/** The names of all handlers. */
export async function handlerNames(system: App): Promise<string[]> {
  const names: string[] = [];
  for (const of of projectionsOf(system)) {
    for (const number of await generationsOf(system, of)) names.push(generationName(of.definition.projection, number));
  }
  for (const local of system.locals) {
    names.push(...(await sagaHandlers(system, local)).map(({ name }) => name));
  }
  return names;
}

async function generationsOf(system: App, of: LocalProjection): Promise<number[]> {
  const record = await readGenerations(of.definition.projection, viewStoreOf(system, of));
  return record?.generations.map(({ number }) => number) ?? [];
}
