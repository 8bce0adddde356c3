import { domainOf } from '@caudal/contract/entity.ts';

/** The domains of these entities, each once: whose logs must be read to follow them. */
export function domainsOf(entities: string[]): Set<string> {
  return new Set(entities.map(domainOf));
}
