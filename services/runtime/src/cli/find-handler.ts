/** Finds the handler of a name: a projection's generation, or a process. */
import type { EventHandler } from '@caudal/messaging/types.ts';
import { readGenerations } from '@caudal/projections/generations.ts';
import { generationName } from '@caudal/projections/projector.ts';
import { type LocalProjection, processHandlers, projectionHandler, projectionsOf, viewStoreOf } from '../handlers.ts';
import type { LocalContext } from '../local-context.ts';
import type { Process } from '../process.ts';

export interface FoundHandler {
  handler: EventHandler;
  local: LocalContext;
}

/** Undefined if there is none of the name. */
export async function findHandler(system: Process, name: string): Promise<FoundHandler | undefined> {
  for (const of of projectionsOf(system)) {
    for (const number of await generationsOf(system, of)) {
      if (generationName(of.definition.projection, number) !== name) continue;
      return { handler: projectionHandler(system, of, number), local: of.local };
    }
  }
  for (const local of system.locals) {
    const handler = (await processHandlers(system, local)).find((candidate) => candidate.name === name);
    if (handler) return { handler, local };
  }
  return undefined;
}

/** All names. */
export async function handlerNames(system: Process): Promise<string[]> {
  const names: string[] = [];
  for (const of of projectionsOf(system)) {
    for (const number of await generationsOf(system, of)) names.push(generationName(of.definition.projection, number));
  }
  for (const local of system.locals) {
    names.push(...(await processHandlers(system, local)).map(({ name }) => name));
  }
  return names;
}

async function generationsOf(system: Process, of: LocalProjection): Promise<number[]> {
  const record = await readGenerations(of.definition.projection, viewStoreOf(system, of));
  return record?.generations.map(({ number }) => number) ?? [];
}
