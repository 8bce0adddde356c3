/**
 * What a deployment must know of the code: which contexts there are, which queues they read, and which routes lead to
 * them. Read from the contexts and the contract themselves, with the functions that make the names.
 */
import { loadConfig, type Settings } from '@caudal/config/config.ts';
import type { Context, Tools } from '@caudal/context/context.ts';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import { deadLetterQueueName, queueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { generationName } from '@caudal/projections/projector.ts';
import { appendingRoles, connectionParts } from '@caudal/server/connections.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { formerRoles, settings } from '@caudal/server/settings/settings.ts';

export interface RestRoute {
  method: HttpRule['method'];
  /** A regular expression for the whole path, as Kong reads it. */
  path: string;
}

interface Routes {
  /** Services, by their gRPC path: `/caudal.orders.v1.OrderService/PlaceOrder`. */
  grpc: string[];
  rest: RestRoute[];
}

/** What one role of a context serves to callers from outside. */
export interface Endpoints extends Routes {
  /** Those that callers show no token to: a gateway must not ask for one. Absent if there are none. */
  open?: Routes;
}

export interface ContextTopology {
  name: string;
  /**
   * Regular expressions for the queue of each generation of a projection, without the prefix of CAUDAL_NAMESPACE. Empty for
   * a multi-stream projection: it reads its logs, and has no queue.
   */
  projections: Record<string, string>;
  /** The same for its sagas. */
  sagas: Record<string, string>;
  endpoints: { command: Endpoints; query: Endpoints };
}

export async function topology(): Promise<ContextTopology[]> {
  return Promise.all(
    contexts.map(async (context) => ({
      name: context.name,
      projections: Object.fromEntries(
        context.projections.map(({ projection }) => [
          projection.name,
          isMultiStream(projection) ? '' : generations(projection),
        ]),
      ),
      sagas: Object.fromEntries((await sagaNames(context)).map((name) => [name, exactly(queueName(name))])),
      endpoints: endpointsOf(context.name),
    })),
  );
}

/** What the chart needs to add up the connections of a release to PostgreSQL, as `connectionsOf` does for a process. */
export const connections = { poolSize: Number(settings.CAUDAL_POOL_SIZE.default), appendingRoles, ...connectionParts };

/** Deprecated names that values may still use, by what each is called now. */
export const formerNames: { roles: Record<string, string>; settings: Record<string, string> } = {
  roles: formerRoles,
  settings: Object.fromEntries(
    Object.entries(settings as Settings).flatMap(([name, { formerly }]) =>
      formerly === undefined ? [] : [[formerly, name]],
    ),
  ),
};

/** `order-details\.v1\.[0-9]+`: with any number at its end; not the queue of dead letters. */
function generations(projection: { name: string; version: number }): string {
  const [first, second] = [1, 2].map((number) => queueName(generationName(projection, number)));
  const stem = first!.slice(0, -1);
  if (`${stem}2` !== second) throw new Error(`${first} does not end in the number of its generation.`);
  const pattern = `${exactly(stem)}[0-9]+`;
  if (new RegExp(`^${pattern}$`).test(deadLetterQueueName(generationName(projection, 1))))
    throw new Error(`${pattern} would count the dead letters of ${projection.name} too.`);
  return pattern;
}

const exactly = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Sagas have names once they have been made; nothing is called for that. */
async function sagaNames(context: Context): Promise<string[]> {
  const ending = new AbortController();
  const env = { PAYMENTS_GATEWAY_URL: 'http://localhost' };
  const nothing = {} as never;
  const tools: Tools<typeof context.settings> = {
    aggregates: nothing,
    clock: nothing,
    ids: nothing,
    settings: loadConfig(settings, { env }) as Tools<typeof context.settings>['settings'],
    client: () => nothing,
  };
  const { signal } = ending;
  const handlers = await context.sagas({ ...tools, database: nothing, signal, development: false });
  // What they have made ready goes again.
  ending.abort();
  return handlers.map(({ name }) => name);
}

/** The endpoints of the context with this name. */
export function endpointsOf(context: string): ContextTopology['endpoints'] {
  const methods = contract()
    .methods()
    .filter(({ service, access }) => service.startsWith(`caudal.${context}.`) && !access.internal);
  const isQuery = ({ service }: MethodContract) => service.endsWith('QueryService');
  return {
    command: endpointsFor(methods.filter((method) => !isQuery(method))),
    query: endpointsFor(methods.filter(isQuery)),
  };
}

function endpointsFor(methods: MethodContract[]): Endpoints {
  const open = methods.filter(({ access }) => !access.permission);
  return {
    ...routesOf(methods.filter(({ access }) => access.permission)),
    ...(open.length > 0 && { open: routesOf(open) }),
  };
}

function routesOf(methods: MethodContract[]): Routes {
  return {
    // A webhook is refused over gRPC.
    grpc: methods.filter(({ access }) => !access.webhook).map(({ path }) => path),
    rest: methods.flatMap(({ http }) => http.map(({ method, template }) => ({ method, path: pathPattern(template) }))),
  };
}

/** `/v1/orders/{order_id}:cancel` as `/v1/orders/[^/]+:cancel`. */
function pathPattern(template: string): string {
  return template
    .split(/(\{[^}]+\})/)
    .map((part) => (part.startsWith('{') ? '[^/]+' : exactly(part)))
    .join('');
}
