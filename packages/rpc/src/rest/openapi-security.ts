/** How callers of a method are authenticated, as OpenAPI says it. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { toleranceSeconds } from '../server/webhook.ts';
import type { Schema } from './openapi-schema.ts';

const bearer: Schema = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: 'The claim `scope` lists permissions. With `:any` one holds for everybody, else for the caller.',
};

const webhook: Schema = {
  type: 'apiKey',
  in: 'header',
  name: 'Webhook-Signature',
  description: `\`t=<Unix time in seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">\`, over the bytes of the body as they are sent; several \`v1\` where a secret is being changed. Good for ${toleranceSeconds} seconds.`,
};

/** The schemes that these methods need. */
export function securitySchemes(methods: MethodContract[]): Schema {
  return { bearer, ...(methods.some(({ access }) => access.webhook) && { webhook }) };
}

/** What of a method differs from the document's own security, a token. */
export function securityOf({ access: { authentication } }: MethodContract): Schema {
  if (authentication === 'NONE') return { security: [] };
  return authentication === 'WEBHOOK' ? { security: [{ webhook: [] }] } : {};
}
