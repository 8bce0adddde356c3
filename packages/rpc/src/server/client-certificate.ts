/** Calls of services must come over a connection with a client certificate, where the listeners ask for one: docs/tls.md. */
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { hasName } from '@caudal/tls/has-name.ts';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { Authenticate } from './auth.ts';

/**
 * Throws CLIENT_CERTIFICATE_REQUIRED if the connection has no certificate with this name. (grpc-js shows a certificate only if its
 * authority is trusted.) `name` undefined: checks nothing. It costs nothing beside the check of a token, so where only services
 * may call it comes first.
 */
export function checkClientCertificate(name: string | undefined, call: ServerInterceptingCallInterface): void {
  if (name === undefined) return;
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate && hasName(certificate, name)) return;
  const has = certificate ? 'one of another name' : 'none that is valid';
  throw required(`with a client certificate of the name "${name}". This connection has ${has}.`);
}

/** Refuses services: for a port that asks for no client certificates, so that no connection of it has one. */
export function withoutServices(authenticate: Authenticate): Authenticate {
  const checked = (caller: Caller): Caller => {
    if (isService(caller)) throw required('over gRPC and with a client certificate.');
    return caller;
  };
  return (authorization, mayCheck) => {
    const caller = authenticate(authorization, mayCheck);
    return caller instanceof Promise ? caller.then(checked) : checked(caller);
  };
}

const required = (how: string) =>
  new CaudalError('UNAUTHENTICATED', 'CLIENT_CERTIFICATE_REQUIRED', `Services call ${how}`);
