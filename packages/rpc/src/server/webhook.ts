/**
 * Webhooks: the caller signs the body of its request instead of sending a token. docs/api.md, Webhooks, has the scheme:
 * `Webhook-Signature: t=<Unix time>,v1=<HMAC-SHA256 of "<t>.<body>">`. A replay within the 5 minutes has the same
 * request_id, since that is in the body, and gets the first answer. While a secret is replaced, both sides may use two.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Webhook } from '@caudal/contract/access.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type Clock, systemClock } from '@caudal/kernel/time.ts';

/** The most that a signature's time may differ from the server's clock, in either direction. */
export const toleranceSeconds = 300;
/** So that a secret can't be found by trying. */
export const minSecretCharacters = 32;
/** Bounds the work for a header that an attacker has made expensive. */
const maxSignatures = 8;
const maxSecrets = 8;
const maxHeaderCharacters = 1_024;

/** The content of the header, if it is not too old. */
export interface WebhookSignature {
  /** As it was sent, since it is part of what is signed. */
  timestamp: string;
  signatures: Buffer[];
}

export interface WebhookVerifier {
  /** Reads the header, before the body is read. Throws UNAUTHENTICATED. */
  read(header: string | undefined): WebhookSignature;
  /** The caller that has signed this body, `webhook:<name>`. Throws UNAUTHENTICATED. */
  verify(signature: WebhookSignature, body: Uint8Array): Caller;
}

/** The subject of a webhook's caller. */
export const webhookSubject = ({ name }: Webhook): string => `webhook:${name}`;

/**
 * Checks the signatures of a webhook. Throws an Error that names the setting if its secrets are too few or too short.
 */
export function webhookVerifier(
  webhook: Webhook,
  secrets: readonly string[],
  clock: Clock = systemClock,
): WebhookVerifier {
  if (secrets.length === 0 || secrets.length > maxSecrets)
    throw new Error(`${webhook.secret} holds ${secrets.length} secrets: set it to 1 to ${maxSecrets} of them.`);
  if (secrets.some(({ length }) => length < minSecretCharacters))
    throw new Error(
      `${webhook.secret} has a secret that is too short: use at least ${minSecretCharacters} characters.`,
    );
  const caller: Caller = { subject: webhookSubject(webhook), permissions: new Set() };
  return {
    read(header) {
      if (!header) throw unauthenticated('SIGNATURE_MISSING', 'The call carries no "Webhook-Signature".');
      const signature = parse(header);
      const age = Math.abs(clock().getTime() / 1000 - Number(signature.timestamp));
      if (age > toleranceSeconds)
        throw unauthenticated(
          'SIGNATURE_EXPIRED',
          `The signature's time is more than ${toleranceSeconds} s from the server's clock: sign again.`,
        );
      return signature;
    },
    verify({ timestamp, signatures }, body) {
      // All pairs are compared, so that the time does not depend on which one fits.
      let found = false;
      for (const secret of secrets) {
        const expected = digest(secret, timestamp, body);
        for (const signature of signatures) if (timingSafeEqual(expected, signature)) found = true;
      }
      if (!found) throw invalid();
      return caller;
    },
  };
}

const digest = (secret: string, timestamp: string, body: Uint8Array): Buffer =>
  createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest();

/** Parts other than `t` and `v1` are ignored: later versions of the scheme may have them. */
function parse(header: string): WebhookSignature {
  if (header.length > maxHeaderCharacters) throw invalid();
  const parts = header.split(',').map((part) => part.trim());
  const valuesOf = (name: string) =>
    parts.filter((part) => part.startsWith(`${name}=`)).map((part) => part.slice(name.length + 1));
  const [timestamp, ...others] = valuesOf('t');
  const signatures = valuesOf('v1');
  if (!timestamp || others.length > 0 || !/^[1-9]\d{0,11}$/.test(timestamp)) throw invalid();
  if (signatures.length === 0 || signatures.length > maxSignatures) throw invalid();
  if (!signatures.every((signature) => /^[\da-f]{64}$/i.test(signature))) throw invalid();
  return { timestamp, signatures: signatures.map((signature) => Buffer.from(signature, 'hex')) };
}

const unauthenticated = (reason: string, message: string) => new CaudalError('UNAUTHENTICATED', reason, message);
const invalid = () =>
  unauthenticated('SIGNATURE_INVALID', 'The signature is malformed, or does not fit this body with any secret.');
