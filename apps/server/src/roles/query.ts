/** The query role: serves the queries of its contexts. */

import type { ContextProjection } from '@caudal/context/context.ts';
import { hasPassed } from '@caudal/messaging/subscription/log-feed.ts';
import { followedDomains } from '@caudal/projections/events.ts';
import type { AnyProjection } from '@caudal/projections/multi-stream/types.ts';
import type { App } from '../app.ts';
import { auditQueryService, auditServedWith } from '../audit/audit-query-service.ts';
import type { LocalContext } from '../local-context.ts';
import { type ReaderOptions, searchReader, viewReader } from '../queries/view-readers.ts';

export function addQueries(app: App): void {
  for (const local of app.locals) {
    app.services.push(
      ...local.context.queries({
        ...app.toolsOf(local),
        database: { query: local.database.query, transaction: local.database.transaction },
        archive: local.archive,
        views: (projection) => viewReader(readerOptions(app, local, projection)),
        search: (projection) => searchReader(readerOptions(app, local, projection)),
        interest: (kind) => app.stores.interest.in(kind),
      }),
    );
    if (local.context.name === auditServedWith) app.services.push(auditQueryService({ database: local.database }));
  }
}

function readerOptions<V>(app: App, local: LocalContext, projection: AnyProjection<V>): ReaderOptions {
  const { context, database } = local;
  const definition = context.projections.find((candidate) => candidate.projection === projection) as ContextProjection;
  return {
    definition,
    store: app.stores.viewsToQuery(context, definition.store, database),
    logs: app.logsFor(context, followedDomains(projection)),
    passed: (handler, event) => hasPassed(database, handler, event),
    cache: app.stores.cache,
    caches: app.values.CAUDAL_CACHES,
    waits: app.waits,
    cacheIsInvalidated: app.values.REDIS_URL !== undefined || app.has('projector'),
  };
}
