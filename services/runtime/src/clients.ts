/**
 * How contexts reach each other: a service that this process serves is called inside it, any other over gRPC. Queries
 * live in services named `...QueryService`, so a definition's name says which role answers.
 */
import type { Context } from '@caudal/context/context.ts';
import type { Method } from '@caudal/contract/method.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { connect } from '@caudal/rpc/client.ts';
import { localClient } from '@caudal/rpc/local.ts';
import type { Client, Service } from '@caudal/rpc/types.ts';
import type { Identity } from './identity.ts';
import type { RuntimeValues } from './settings.ts';

export interface Clients extends Running {
  /** A client of the service, as this context. */
  of<Definition extends object>(caller: Context, definition: Definition): Client<Definition>;
  /** A client of a service of another context, wherever it is: `LogService`, which every context serves. */
  at<Definition extends object>(caller: Context, definition: Definition, context: string): Client<Definition>;
}

/** `services`: what this process serves; may be filled later, before the first call. */
export function openClients(values: RuntimeValues, identity: Identity, services: Service[]): Clients {
  const connected: { close(): void }[] = [];

  const remote = <Definition extends object>(caller: Context, definition: Definition, address: string) => {
    const client = connect(definition, { address, auth: identity.tokensOf(caller) });
    connected.push(client);
    return client;
  };

  return {
    of(caller, definition) {
      const { context, role } = placeOf(definition);
      if (values.CAUDAL_ROLES.includes(role) && values.CAUDAL_CONTEXTS.includes(context)) {
        return localClient(definition, services, identity.callerOf(caller));
      }
      return remote(caller, definition, addressOf(values, role, context));
    },
    at: (caller, definition, context) => remote(caller, definition, addressOf(values, 'command', context)),
    async stop() {
      for (const client of connected) client.close();
    },
  };
}

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
