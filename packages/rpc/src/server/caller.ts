/** The caller of a method, from what the contract requires: a token, a signature, or nothing. */
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type HeaderReader, headerNames } from '../headers.ts';
import type { Authenticate } from './auth.ts';
import type { Endpoint } from './endpoint.ts';
import { type WebhookVerifier, webhookVerifier } from './webhook.ts';

/** The caller of every public method. A token with this subject is refused (see auth.ts). */
export const anyone: Caller = { subject: 'public:anyone', permissions: new Set() };

/**
 * The caller of a method, if it is known before the request is read. Throws, or rejects with, the error to answer. `mayCheck`: as
 * `Authenticate` has it.
 */
export function callerOf(
  { contract: { access } }: Endpoint,
  header: HeaderReader,
  authenticate: Authenticate,
  mayCheck?: () => void,
): Caller | Promise<Caller> {
  switch (access.authentication) {
    case 'TOKEN':
    case 'SERVICE':
      return authenticate(header(headerNames.authorization), mayCheck);
    case 'NONE':
      return anyone;
    case 'WEBHOOK':
      throw webhookOnly();
  }
}

/** The error for a webhook's method that is called in any way other than a signed REST request. */
export const webhookOnly = (): CaudalError =>
  new CaudalError(
    'UNIMPLEMENTED',
    'WEBHOOK_ONLY',
    'This method can be called only over REST with a Webhook-Signature.',
  );

/**
 * The verifiers of webhooks' signatures, by the path of the method. `secrets` are given by the setting that holds them.
 * Throws if a webhook has no secret, so that the server does not start.
 */
export function webhookVerifiers(
  endpoints: Endpoint[],
  secrets: Record<string, readonly string[]>,
): Map<string, WebhookVerifier> {
  const verifiers = new Map<string, WebhookVerifier>();
  for (const { contract } of endpoints) {
    const { webhook } = contract.access;
    if (!webhook) continue;
    const own = secrets[webhook.secret];
    if (!own) throw new Error(`${contract.path} is called with a signature, but ${webhook.secret} is not set: set it.`);
    verifiers.set(contract.path, webhookVerifier(webhook, own));
  }
  return verifiers;
}
