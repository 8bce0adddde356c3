/**
 * Keeps from callers who may use only their own resources whether others exist: until the owner is authorized, a wrong owner and a
 * missing resource are one error. See docs/ids.md.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Grant } from './access.ts';
import type { Endpoint } from './endpoint.ts';

export interface Concealment {
  /** Whether the handler has found that the caller may use the resource. */
  isAuthorized(): boolean;
  /** Work that a missing resource would have cost: see Call.balance. */
  balances: readonly (() => Promise<unknown>)[];
}

/** The endpoint for a caller with this grant. */
export function concealing(endpoint: Endpoint, grant: Grant, { isAuthorized, balances }: Concealment): Endpoint {
  const { missing } = endpoint;
  if (!missing || grant.any) return endpoint;
  return {
    ...endpoint,
    async handler(request, call) {
      try {
        return await endpoint.handler(request, call);
      } catch (error) {
        if (isAuthorized() || !tellsOfExistence(error)) throw error;
        for (const work of balances) await work();
        throw missing(request, error);
      }
    },
  };
}

const tellsOfExistence = (error: unknown) =>
  error instanceof CaudalError && (error.code === 'NOT_FOUND' || error.reason === 'NOT_OWNER');
