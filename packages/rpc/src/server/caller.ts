/** The caller of a method, by what the contract asks for: a token, a signature, or nothing. */
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type HeaderReader, headerNames } from '../headers.ts';
import type { Authenticate } from './auth.ts';
import type { Endpoint } from './endpoint.ts';
import { type WebhookVerifier, webhookVerifier } from './webhook.ts';

/** The caller of every public method. No token may name such a subject (see auth.ts). */
export const anyone: Caller = { subject: 'public:anyone', permissions: new Set() };

/** The caller of a method, where it is known before the request is read. Throws, or rejects with, what to answer. */
export function callerOf(
  { contract: { access } }: Endpoint,
  header: HeaderReader,
  authenticate: Authenticate,
): Caller | Promise<Caller> {
  switch (access.authentication) {
    case 'TOKEN':
    case 'SERVICE':
      return authenticate(header(headerNames.authorization));
    case 'NONE':
      return anyone;
    case 'WEBHOOK':
      throw webhookOnly();
  }
}

/** What anything but a signed REST request of a webhook is answered with. */
export const webhookOnly = (): CaudalError =>
  new CaudalError(
    'UNIMPLEMENTED',
    'WEBHOOK_ONLY',
    'This method is called over REST with a Webhook-Signature, and in no other way.',
  );

/**
 * What checks the signatures of those of the endpoints that are webhooks, by their paths. `secrets`: by the setting that
 * holds them. Throws, so that the server does not start, if a webhook has none.
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
    if (!own) throw new Error(`${contract.path} is called by signature, and ${webhook.secret} is not set: set it.`);
    verifiers.set(contract.path, webhookVerifier(webhook, own));
  }
  return verifiers;
}
