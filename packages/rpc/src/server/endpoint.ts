/** A method of a service, compiled: its contract as functions, and its handler. */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { Method } from '@caudal/contract/method.ts';
import { propertyOf } from '../schema/field-names.ts';
import { type ReadMask, readMask } from '../schema/mask.ts';
import { invalidRequest, type Sender, type Validate, validator } from '../schema/validation.ts';
import type { Call, Service } from '../types.ts';
import { type CommandIdOf, commandIdOf } from './command-id.ts';
import { type MissingResource, missingResource } from './missing-resource.ts';

export interface Endpoint {
  contract: MethodContract;
  definition: Method;
  handler(request: unknown, call: Call): Promise<unknown>;
  validate: Record<Sender, Validate>;
  commandId: CommandIdOf | undefined;
  /** Whether the header Idempotency-Key can stand for the request_id. Of a webhook only the body is signed. */
  takesKey: boolean;
  readMask: ReadMask | undefined;
  /** Whether answers carry an `etag`. */
  hasEtag: boolean;
  /** The request's property that names the owner, if it has one. */
  ownerProperty: string | undefined;
  /** If the owner is stored in the resource: the error that says that there is no such resource. */
  missing: MissingResource | undefined;
  /** The request's property that the permission must name, if it must. */
  scopeProperty: string | undefined;
}

/**
 * The endpoints of these services. Throws, so that the server does not start, if a method has no `(caudal.access)`, no
 * handler, a stream in one direction only, or an unknown rule.
 */
export function endpoints(services: Service[]): Endpoint[] {
  return services.flatMap(({ definition, handlers }) =>
    Object.entries(definition).map(([name, method]) => {
      const handler = handlers[name];
      if (!handler) throw new Error(`${method.path} has no handler.`);
      const of = contract().method(method.path);
      const propertyNamed = (wanted: string | undefined) => {
        const field = of.request.fields.find(({ name }) => name === wanted);
        return field && propertyOf(field);
      };
      const validate = of.access.webhook ? repeatable(validator(of.request), of) : validator(of.request);
      return {
        contract: of,
        definition: method,
        handler: handler as Endpoint['handler'],
        validate: { caller: validate, service: validator(of.request, 'service') },
        commandId: commandIdOf(of, method),
        takesKey: !of.access.webhook && of.request.fields.some(({ name: field }) => field === 'request_id'),
        readMask: readMask(of.request, of.response),
        hasEtag: of.response.fields.some(({ name: field }) => field === 'etag'),
        ownerProperty: propertyNamed(of.access.ownerField),
        missing: of.access.ownerInResource ? missingResource(of) : undefined,
        scopeProperty: propertyNamed(of.access.scopeField),
      };
    }),
  );
}

/** A signature can be replayed for 5 minutes. So a webhook that changes something must have a request_id. */
function repeatable(validate: Validate, { noSideEffects }: MethodContract): Validate {
  return (request) => {
    validate(request);
    if (!noSideEffects && !(request as { requestId: string }).requestId)
      throw invalidRequest([{ field: 'request_id', description: 'must be given: a webhook may be repeated' }]);
  };
}
