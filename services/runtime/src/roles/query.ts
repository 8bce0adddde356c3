/** The query role: serves the queries of its contexts. */
import type { ContextProjection } from '@caudal/context/context.ts';
import type { Projection } from '@caudal/projections/types.ts';
import { domainsOf } from '../domains.ts';
import type { LocalContext } from '../local-context.ts';
import type { Process } from '../process.ts';
import { type ReaderOptions, searchReader, viewReader } from '../view-readers.ts';

export function addQueries(process: Process): void {
  for (const local of process.locals) {
    process.services.push(
      ...local.context.queries({
        ...process.toolsOf(local),
        views: (projection) => viewReader(readerOptions(process, local, projection)),
        search: (projection) => searchReader(readerOptions(process, local, projection)),
      }),
    );
  }
}

function readerOptions<V>(process: Process, local: LocalContext, projection: Projection<V>): ReaderOptions {
  const { context, database } = local;
  const definition = context.projections.find((candidate) => candidate.projection === projection) as ContextProjection;
  return {
    definition,
    store: process.stores.viewsToQuery(context, definition.store, database),
    logs: process.logsFor(context, domainsOf(projection.follows.map(({ entity }) => entity.name))),
    cache: process.stores.cache,
    cacheHears: process.values.REDIS_URL !== undefined || process.has('projector'),
  };
}
