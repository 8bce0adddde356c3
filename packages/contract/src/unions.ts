/** The messages with the events of an entity: those with `(caudal.entity)`. */
import type { DescMessage } from '@bufbuild/protobuf';
import { contract } from './descriptors.ts';

let unions: Map<string, DescMessage> | undefined;

/** The union of an entity's events; undefined if the contract has no such entity. */
export function unionOf(entity: string): DescMessage | undefined {
  if (!unions) {
    unions = new Map();
    const { registry, entityOf } = contract();
    for (const type of registry) if (type.kind === 'message' && entityOf(type)) unions.set(entityOf(type), type);
  }
  return unions.get(entity);
}
