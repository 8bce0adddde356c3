/** Finds projections by their names. */

import type { App } from '@caudal/server/app.ts';
import { type LocalProjection, projectionsOf } from '@caudal/server/handlers/handlers.ts';
import { pick } from './usage.ts';

/** The projections of the process's contexts by name: `order-details`. */
export function viewsByName(system: App): Map<string, LocalProjection> {
  return new Map(projectionsOf(system).map((of) => [of.definition.projection.name, of]));
}

/** The projection of this name. Throws UsageError if there is none. */
export function findView(system: App, name: string): LocalProjection {
  return pick('view', name, viewsByName(system));
}
