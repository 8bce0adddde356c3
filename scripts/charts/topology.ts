/**
 * What a deployment must know of the code: which contexts there are, which queues they read, and which routes lead to
 * them. Read from the contexts and the contract themselves, with the functions that make the names.
 */
import { loadConfig } from '@caudal/config/config.ts';
import type { Context, Tools } from '@caudal/context/context.ts';
import { contract, type HttpRule, type MethodContract } from '@caudal/contract/descriptors.ts';
import { deadLetterQueueName, queueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { generationName } from '@caudal/projections/projector.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { settings } from '@caudal/server/settings/settings.ts';

export interface RestRoute {
  method: HttpRule['method'];
  /** A regular expression for the whole path, as Kong reads it. */
  path: string;
}

/** What one role of a context answers to those outside. */
export interface Door {
  /** Services, by their gRPC path: `/caudal.orders.v1.OrderService/PlaceOrder`. */
  grpc: string[];
  rest: RestRoute[];
}

export interface ContextTopology {
  name: string;
  /**
   * Regular expressions for the queue of each generation of a projection, without the prefix of CAUDAL_NAMESPACE. Empty for
   * a multi-stream projection: it reads its logs, and has no queue.
   */
  projections: Record<string, string>;
  /** The same for its processes. */
  processes: Record<string, string>;
  doors: { command: Door; query: Door };
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
      processes: Object.fromEntries((await processNames(context)).map((name) => [name, exactly(queueName(name))])),
      doors: doorsOf(context),
    })),
  );
}

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

/** Processes know their names once they have been made; nothing is called for that. */
async function processNames(context: Context): Promise<string[]> {
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

function doorsOf(context: Context): ContextTopology['doors'] {
  const methods = contract()
    .methods()
    .filter(({ service, access }) => service.startsWith(`caudal.${context.name}.`) && !access.internal);
  const isQuery = ({ service }: MethodContract) => service.endsWith('QueryService');
  return {
    command: doorOf(methods.filter((method) => !isQuery(method))),
    query: doorOf(methods.filter(isQuery)),
  };
}

function doorOf(methods: MethodContract[]): Door {
  return {
    grpc: methods.map(({ path }) => path),
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
