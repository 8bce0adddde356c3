/** The authentication of a method's callers in OpenAPI. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { toleranceSeconds } from '../server/webhook.ts';
import type { Schema } from './openapi-schema.ts';

const bearer: Schema = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description:
    'The claim `scope` lists permissions. With the suffix `:any` one is for all owners, otherwise for the caller only.',
};

const webhook: Schema = {
  type: 'apiKey',
  in: 'header',
  name: 'Webhook-Signature',
  description: `\`t=<Unix time in seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">\`, over the exact bytes of the body. Several \`v1\` are allowed while a secret is replaced. Valid for ${toleranceSeconds} seconds.`,
};

/** The security schemes of these methods. */
export function securitySchemes(methods: MethodContract[]): Schema {
  return { bearer, ...(methods.some(({ access }) => access.webhook) && { webhook }) };
}

/** The security of a method, if it differs from the document's default, a token. */
export function securityOf({ access: { authentication } }: MethodContract): Schema {
  if (authentication === 'NONE') return { security: [] };
  return authentication === 'WEBHOOK' ? { security: [{ webhook: [] }] } : {};
}
