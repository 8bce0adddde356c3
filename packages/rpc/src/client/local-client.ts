/**
 * Calls a service of the same process: the same pipeline, permissions, rules, deadlines and errors as over gRPC,
 * without the network. Messages are copied instead of encoded, so that neither side can change the other's. GetOrder
 * takes 35 us here and 350 us over gRPC.
 */
import type { Method } from '@caudal/contract/method.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { whenAborted } from '../server/deadline.ts';
import { type Endpoint, endpoints } from '../server/endpoint.ts';
import { createPipeline, type Pipeline } from '../server/pipeline.ts';
import { defaultLimits } from '../server/server.ts';
import type { TokenSource } from '../server/tokens.ts';
import type { CallOptions, Client, Service } from '../types.ts';
import { deadlineOf, headersFor } from './client.ts';

/**
 * A client of the service with this definition, among `services`. They are read at the first call, so that services
 * that call each other can be created in any order. `caller` is the caller of all calls. `forwarding`: how its calls reach the
 * owners of their streams in other processes, with a token of its own; absent: every call is decided in this process.
 */
export function localClient<Definition extends object>(
  definition: Definition,
  services: Service[],
  caller: Caller,
  forwarding?: { forwarder: Forwarder; token: TokenSource | undefined },
): Client<Definition> & { close(): void } {
  let local: { pipeline: Pipeline; endpoints: Map<string, Endpoint> } | undefined;
  const open = () => {
    const serving = services.find((service) => (service.definition as object) === definition);
    const found = serving ? endpoints([serving]) : [];
    return {
      pipeline: createPipeline(defaultLimits, { forwarder: forwarding?.forwarder }),
      endpoints: new Map(found.map((endpoint) => [endpoint.contract.path, endpoint])),
    };
  };

  const call = async (method: Method, request: unknown, options: CallOptions = {}) => {
    local ??= open();
    const endpoint = local.endpoints.get(method.path);
    if (!endpoint)
      throw new CaudalError('UNIMPLEMENTED', 'UNIMPLEMENTED', `This process does not serve ${method.path}.`);
    const headers = headersFor(options);
    const traceparent = options.origin?.traceparent || undefined;
    const outcome = await local.pipeline.run(endpoint, {
      authorization: async () => forwarding?.token && `Bearer ${await forwarding.token()}`,
      authenticate: () => caller,
      header: (name) => (name === 'traceparent' ? traceparent : headers[name]),
      deadline: deadlineOf(options),
      whenGone: options.signal && whenAborted(options.signal),
      // A token is among the headers.
      consistency: options.consistencyToken === undefined ? (options.consistency ?? []) : undefined,
      wantsConsistency: options.onConsistencyToken !== undefined,
      decode: () => copy(request),
      encode: (response) => copy(response),
    });
    if (outcome.ok) {
      if (outcome.consistency) options.onConsistencyToken?.(outcome.consistency);
      return outcome.answer;
    }
    const { code, reason, message, violations, retryAfterMs, metadata } = outcome.error;
    // A new error without the cause: the callee's internals stay with the callee, as over the network.
    throw new CaudalError(code, reason, message, { violations, retryAfterMs, metadata });
  };

  const functions = (Object.entries(definition) as [string, Method][])
    .filter(([, { requestStream }]) => !requestStream)
    .map(([name, method]) => [name, (request: unknown, options?: CallOptions) => call(method, request, options)]);
  return { ...Object.fromEntries(functions), close: () => {} };
}

/** A copy of a message: plain objects, lists, dates and bytes; the rest is immutable. */
function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  if (value instanceof Date) return new Date(value);
  if (value instanceof Uint8Array) return Uint8Array.prototype.slice.call(value);
  const copied: Record<string, unknown> = {};
  for (const key of Object.keys(value)) copied[key] = copy((value as Record<string, unknown>)[key]);
  return copied;
}
