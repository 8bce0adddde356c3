/** A generation of any projection: its collections, and the handler that keeps them up to date. */
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { createGatherer } from '../multi-stream/gatherer.ts';
import { isMultiStream } from '../multi-stream/types.ts';
import {
  collectionOf,
  createProjector,
  type GenerationOptions,
  generationName,
  type ProjectorOptions,
} from '../projector.ts';
import type { Collection } from '../stores/store.ts';

/** The facts of a multi-stream projection: a document for each stream, found by id only. */
export function factsOf<V>({ projection, store, generation }: GenerationOptions<V>): Collection {
  return store.collection(`${generationName(projection, generation)}.facts`, { keys: {}, indexes: [] });
}

/** How far the building of a generation is: found by id only, and dropped when it is built. */
export function progressOf<V>({ projection, store, generation }: GenerationOptions<V>): Collection {
  return store.collection(`${generationName(projection, generation)}.progress`, { keys: {}, indexes: [] });
}

function collectionsOf<V>(options: GenerationOptions<V>): Collection[] {
  const views = collectionOf(options);
  return isMultiStream(options.projection) ? [views, factsOf(options)] : [views];
}

/** Creates a generation's collections, to be built; does nothing if they are there. */
export async function createGeneration<V>(options: GenerationOptions<V>): Promise<void> {
  for (const collection of [...collectionsOf(options), progressOf(options)]) await collection.create();
}

/** Deletes a generation's collections; does nothing if they are not there. */
export async function dropGeneration<V>(options: GenerationOptions<V>): Promise<void> {
  for (const collection of [...collectionsOf(options), progressOf(options)]) await collection.drop();
}

/** Removes everything that has the generation's name; `release` undoes what outlives a consumer. May be called again. */
export async function removeGeneration<V>(
  options: GenerationOptions<V> & { release(handlerName: string): Promise<void> },
): Promise<void> {
  await options.release(generationName(options.projection, options.generation));
  await dropGeneration(options);
}

/** The handler that keeps a generation up to date. */
export function createHandler<V>(options: ProjectorOptions<V>): AnyHandler {
  const { projection, store, generation, onWritten } = options;
  if (!isMultiStream(projection)) return createProjector({ projection, store, generation, onWritten });
  return createGatherer({
    projection,
    name: generationName(projection, generation),
    views: collectionOf(options),
    facts: factsOf(options),
    onWritten: onWritten && ((views) => onWritten(generation, views)),
  });
}
