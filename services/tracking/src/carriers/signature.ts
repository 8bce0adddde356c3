/** Who has sent a webhook: a signature over its body, or for a carrier that can't sign, a credential. */
import { timingSafeEqual } from 'node:crypto';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { sha256 } from '@caudal/kernel/sha256.ts';
import { webhookVerifier } from '@caudal/rpc/server/webhook.ts';
import type { CarrierAdapter } from './port.ts';

/**
 * The scheme of all webhooks here, `Webhook-Signature: t=<Unix time>,v1=<HMAC-SHA256>`; see docs/api.md. Two secrets while one is
 * replaced; a signature is good for 5 minutes.
 */
export const signed =
  (carrier: string): CarrierAdapter['verify'] =>
  ({ headers, body }, secrets, now) => {
    const verifier = webhookVerifier({ name: carrier, secret: `The webhook of ${carrier}` }, secrets, () => now);
    verifier.verify(verifier.read(headers['webhook-signature']), body);
  };

/**
 * A secret that the carrier repeats in a header of each call. It can be replayed by who has read a call; a trace that is sent again
 * changes nothing.
 */
export const credentialIn =
  (header: string): CarrierAdapter['verify'] =>
  ({ headers }, secrets) => {
    const given = headers[header];
    if (!given) throw new CaudalError('UNAUTHENTICATED', 'SIGNATURE_MISSING', `The call carries no "${header}".`);
    // Hashes have one length, and all are compared, so that the time says nothing of the secrets.
    const digest = sha256(given);
    let found = false;
    for (const secret of secrets) if (timingSafeEqual(digest, sha256(secret))) found = true;
    if (!found) throw new CaudalError('UNAUTHENTICATED', 'SIGNATURE_INVALID', `No secret fits the "${header}".`);
  };
