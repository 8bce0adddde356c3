/**
 * What a deployment must know of the code: which contexts there are, which queues they read, and which routes lead to
 * them. Read from the contexts and the contract themselves, with the functions that make the names.
 */
import { loadConfig, type Settings } from '@caudal/config/config.ts';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { corsAnswerHeaders, corsRequestHeaders } from '@caudal/rpc/rest/cors.ts';
import { auditServedWith } from '@caudal/server/audit/audit-query-service.ts';
import { appendingRoles, connectionParts } from '@caudal/server/connections.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { type HandlerDefinition, handlerDefinitions } from '@caudal/server/handlers/definitions.ts';
import {
  contextsOfCredentials,
  contextsWithPersonalData,
  rolesOfCredentials,
} from '@caudal/server/settings/credential-roles.ts';
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

export interface HandlerTopology {
  /**
   * A regular expression for the queues of all its generations and parts, and the one that it had in version 0.2,
   * without the prefix of CAUDAL_NAMESPACE. Absent if it has no queues.
   */
  queues?: string;
  /** How many processes can share its work. */
  parts: number;
}

export interface ContextTopology {
  name: string;
  /** Its projections. A multi-stream projection has no queues: it reads its logs. */
  projections: Record<string, HandlerTopology>;
  sagas: Record<string, HandlerTopology>;
  /** What its workers read, as a regular expression for its queues; absent if it has no workers. Any number of processes share it. */
  workers?: { queues: string };
  endpoints: { command: Endpoints; query: Endpoints };
}

export async function topology(): Promise<ContextTopology[]> {
  const values = loadConfig(settings, { env: {} });
  return Promise.all(
    contexts.map(async (context) => {
      const handlers = await handlerDefinitions(context, values);
      const ofKind = (wanted: HandlerDefinition['kind']) =>
        handlers
          .filter(({ kind }) => kind === wanted)
          .map(({ name, pattern, parts }) => [name, { queues: `${pattern}(\\.p[0-9]+)?`, parts }] as const);
      const without = context.projections.filter(({ projection }) => isMultiStream(projection));
      return {
        name: context.name,
        projections: Object.fromEntries<HandlerTopology>([
          ...ofKind('projection'),
          ...without.map(({ projection }) => [projection.name, { parts: 1 }] as const),
        ]),
        sagas: Object.fromEntries<HandlerTopology>(ofKind('saga')),
        ...(context.workers && { workers: { queues: (context.workQueues ?? []).map(exactly).join('|') } }),
        endpoints: endpointsOf(context.name),
      };
    }),
  );
}

/** What the chart needs to add up the connections of a release to PostgreSQL, as `connectionsOf` does for a process. */
export const connections = { poolSize: Number(settings.CAUDAL_POOL_SIZE.default), appendingRoles, ...connectionParts };

/** Which pods get which credentials. */
export const credentials = {
  roles: rolesOfCredentials,
  contexts: contextsOfCredentials,
  personal: contextsWithPersonalData,
};

const methods = new Set(
  contract()
    .methods()
    .flatMap(({ http }) => http.map(({ method }) => method)),
);

/** What web pages of other origins may do, for a gateway that answers preflights instead of the listener. */
export const cors = {
  methods: ['HEAD', ...methods].sort(),
  requestHeaders: corsRequestHeaders,
  answerHeaders: corsAnswerHeaders,
  maxAge: settings.CAUDAL_CORS_MAX_AGE.default,
};

/** Deprecated names that values may still use, by what each is called now. */
export const formerNames: { roles: Record<string, string>; settings: Record<string, string> } = {
  roles: formerRoles,
  settings: Object.fromEntries(
    Object.entries(settings as Settings).flatMap(([name, { formerly }]) =>
      formerly === undefined ? [] : [[formerly, name]],
    ),
  ),
};

const exactly = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The endpoints of the context with this name. */
export function endpointsOf(context: string): ContextTopology['endpoints'] {
  const methods = contract()
    .methods()
    .filter(({ service, access }) => servedWith(service) === context && !access.internal);
  const isQuery = ({ service }: MethodContract) => service.endsWith('QueryService');
  return {
    command: endpointsFor(methods.filter((method) => !isQuery(method))),
    query: endpointsFor(methods.filter(isQuery)),
  };
}

/** The context whose processes serve it. The audit log belongs to none of them. */
function servedWith(service: string): string {
  const [, name] = service.split('.') as [string, string];
  return name === 'audit' ? auditServedWith : name;
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
