/**
 * Calls between contexts: a service that this process serves is called inside it, any other over gRPC. Queries are in
 * services named `...QueryService`, so the name of a definition determines the role that serves it.
 */
import type { Context } from '@caudal/context/context.ts';
import type { Method } from '@caudal/contract/method.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { CallTls } from '@caudal/rpc/client/call-tls.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { localClient } from '@caudal/rpc/client/local-client.ts';
import type { Forwarder } from '@caudal/rpc/forward/forwarder.ts';
import type { CallOptions, Client, Service } from '@caudal/rpc/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Identity } from './identity.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** Whose calls they are: a context, or the process itself. */
export type CallingContext = Pick<Context, 'name' | 'permissions'>;

export interface Clients extends Running {
  /** A client of the service, as this context. */
  of<Definition extends object>(caller: CallingContext, definition: Definition): Client<Definition>;
  /** A client of the service in the named context, always over gRPC: for `LogService`, which every context serves. */
  at<Definition extends object>(caller: CallingContext, definition: Definition, context: string): Client<Definition>;
}

const log = logger('clients');

/**
 * `services`: those of this process; may be filled later, before the first call. `forwarder`: takes calls within the process to
 * the owners of their streams. `tls`: of calls to other processes; absent: their connections are plain.
 */
export function openClients(
  values: RuntimeValues,
  identity: Identity,
  services: Service[],
  { forwarder, tls }: { forwarder?: Forwarder | undefined; tls?: CallTls | undefined } = {},
): Clients {
  /** By caller, address and service. A client is a connection, so repeated requests for one share it. */
  const connected = new Map<string, { close(): void }>();

  const remote = <Definition extends object>(caller: CallingContext, definition: Definition, address: string) => {
    const key = `${caller.name} ${address} ${serviceOf(definition)}`;
    const client =
      connected.get(key) ??
      connect(definition, {
        address,
        auth: identity.tokensOf(caller),
        tls,
        balancing: values.CAUDAL_BALANCING,
      });
    connected.set(key, client);
    return client as Client<Definition>;
  };

  return {
    of(caller, definition) {
      const { context, role } = placeOf(definition);
      const here = values.CAUDAL_ROLES.includes(role) && values.CAUDAL_CONTEXTS.includes(context);
      const client = here
        ? localClient(
            definition,
            services,
            identity.callerOf(caller),
            forwarder && { forwarder, token: identity.tokensOf(caller) },
          )
        : remote(caller, definition, addressOf(values, role, context));
      return amongServices(client, caller.name, context);
    },
    at: (caller, definition, context) =>
      amongServices(remote(caller, definition, addressOf(values, 'command', context)), caller.name, context),
    async stop() {
      for (const client of connected.values()) client.close();
    },
  };
}

type Call = (request: unknown, options?: CallOptions) => Promise<unknown>;

/**
 * If a called context refuses permission, keys or permissions are wrong; neither the public caller nor an event is at
 * fault. So the error becomes UNAVAILABLE, until an operator corrects the keys.
 */
function amongServices<Definition extends object>(
  client: Client<Definition>,
  caller: string,
  context: string,
): Client<Definition> {
  const calls = Object.entries(client as Record<string, Call>).map(([name, call]): [string, Call] => [
    name,
    async (request, options) => {
      try {
        return await call(request, options);
      } catch (error) {
        if (!isCode(error, 'UNAUTHENTICATED', 'PERMISSION_DENIED')) throw error;
        log.error(
          { err: error, caller, called: context, method: name },
          'a call between services was refused: check CAUDAL_SERVICE_KEY and CAUDAL_SERVICE_JWKS, and CAUDAL_TLS_CERTIFICATE if err.reason names a certificate',
        );
        throw unavailable(context, error);
      }
    },
  ]);
  return Object.fromEntries(calls) as unknown as Client<Definition>;
}

const serviceOf = (definition: object) => (Object.values(definition) as [Method])[0].path.split('/')[1]!;

/** `orders` and `query` of `/caudal.orders.v1.OrderQueryService/GetOrder`. */
function placeOf(definition: object): { context: string; role: 'command' | 'query' } {
  const [{ path }] = Object.values(definition) as [Method];
  const [, context, service] = /^\/caudal\.(\w+)\.v\d+\.(\w+)\//.exec(path) as unknown as [string, string, string];
  return { context, role: service.endsWith('QueryService') ? 'query' : 'command' };
}

function addressOf(values: RuntimeValues, role: 'command' | 'query', context: string): string {
  const template = role === 'query' ? values.CAUDAL_QUERY_ADDRESS : values.CAUDAL_COMMAND_ADDRESS;
  return template.replace('{context}', context);
}
