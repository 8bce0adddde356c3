import { contract } from '@caudal/contract/descriptors.ts';

/** Every permission of the contract's public methods, for all resources. */
export function everything(): string[] {
  const methods = contract()
    .methods()
    .filter(({ access }) => !access.internal && access.permission);
  return [...new Set(methods.map(({ access }) => `${access.permission}:any`))].sort();
}
