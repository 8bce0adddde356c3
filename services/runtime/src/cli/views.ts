/** Finds the projections that somebody has named. */
import { type LocalProjection, projectionsOf } from '../handlers.ts';
import type { Process } from '../process.ts';
import { pick } from './usage.ts';

/** The projections of the process's contexts by name: `order-details`. */
export function viewsByName(system: Process): Map<string, LocalProjection> {
  return new Map(projectionsOf(system).map((of) => [of.definition.projection.name, of]));
}

/** Throws UsageError. */
export function findView(system: Process, name: string): LocalProjection {
  return pick('view', name, viewsByName(system));
}
