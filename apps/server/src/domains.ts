import { domainOf } from '@caudal/contract/entity.ts';

/** The domains of these entities, each once: their logs contain the entities' events. */
export function domainsOf(entities: string[]): Set<string> {
  return new Set(entities.map(domainOf));
}
