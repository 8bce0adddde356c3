/** The sender of a webhook, as docs/api.md describes it. */
import { createHmac } from 'node:crypto';

/** The header `Webhook-Signature` for a body. `seconds`: Unix time; now if absent. */
export function signWebhook(
  secrets: readonly string[],
  body: Uint8Array | string,
  seconds = Math.floor(Date.now() / 1000),
): string {
  const signed = secrets.map((secret) => {
    const digest = createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex');
    return `v1=${digest}`;
  });
  return [`t=${seconds}`, ...signed].join(',');
}
