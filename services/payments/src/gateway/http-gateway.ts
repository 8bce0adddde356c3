/** The gateway port over the HTTP API of gateway/sandbox.ts: JSON bodies, the charge's key as idempotency key. */
import { gatewayUnavailable, outcomeUnknown, type PaymentGateway, type UndoResult } from './port.ts';

export interface HttpGatewayOptions {
  /** Base URL, without a slash at its end. */
  url: string;
  /** Sent as a bearer token; none if empty. */
  apiKey: string;
  /** How long one call may take, in milliseconds. */
  timeoutMs: number;
}

/** Codes of errors that occur before the request is sent. */
const notSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);
/**
 * Statuses that mean "not carried out, try later" for every call: wrong credentials or a limit, which an operator
 * corrects.
 */
const notNow = new Set([401, 408, 429]);
/** Answers to a charge that decline it, beside `status: declined`. */
const declining = new Set([402, 422]);

export function httpGateway({ url, apiKey, timeoutMs }: HttpGatewayOptions): PaymentGateway {
  return {
    async charge({ key, amount, cardToken }, signal) {
      const body = { amount: String(amount.minorUnits), currency: amount.currency, card_token: cardToken };
      const { status, json } = await send('/v1/charges', key, body, signal);
      if (declining.has(status)) return { kind: 'declined', reason: reasonOf(json, 'CARD_DECLINED') };
      // Not final: 409 or 425 may mean that an earlier request under the key is in flight and takes the money.
      if (status >= 400) return { kind: 'unclear', reason: reasonOf(json, `GATEWAY_ANSWERED_${status}`) };
      if (json.status === 'approved' && typeof json.reference === 'string') {
        return { kind: 'approved', reference: json.reference };
      }
      if (json.status === 'declined') return { kind: 'declined', reason: reasonOf(json, 'CARD_DECLINED') };
      throw outcomeUnknown(new Error(`The answer has no known status: ${JSON.stringify(json).slice(0, 200)}`));
    },
    void: (key, signal) => undo(`/v1/charges/${encodeURIComponent(key)}/void`, key, {}, signal),
    refund: (key, signal) => undo(`/v1/charges/${encodeURIComponent(key)}/refund`, key, {}, signal),
    refundPart: ({ charge, key, amount }, signal) => {
      const body = { amount: String(amount.minorUnits), currency: amount.currency };
      const path = `/v1/charges/${encodeURIComponent(charge)}/refunds/${encodeURIComponent(key)}`;
      // Ids of refunds are unique within their payment only.
      return undo(path, `${charge}/${key}`, body, signal, 'PUT');
    },
  };

  async function undo(
    path: string,
    key: string,
    body: object,
    signal: AbortSignal | undefined,
    method = 'POST',
  ): Promise<UndoResult> {
    const { status, json } = await send(path, key, body, signal, method);
    if (status < 400) return { kind: 'done' };
    return { kind: 'refused', reason: reasonOf(json, `GATEWAY_ANSWERED_${status}`) };
  }

  /** Errors: see PaymentGateway. A status from 400 to 499 is an answer. */
  async function send(
    path: string,
    key: string,
    body: object,
    signal: AbortSignal | undefined,
    method = 'POST',
  ): Promise<{ status: number; json: Record<string, unknown> }> {
    const timeout = AbortSignal.timeout(timeoutMs);
    let response: Response;
    let text: string;
    try {
      response = await fetch(url + path, {
        method,
        headers: {
          'content-type': 'application/json',
          'idempotency-key': key,
          ...(apiKey && { authorization: `Bearer ${apiKey}` }),
        },
        body: JSON.stringify(body),
        redirect: 'error',
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      text = await response.text();
    } catch (error) {
      const code = (error as { cause?: { code?: string } }).cause?.code;
      throw code !== undefined && notSent.has(code) ? gatewayUnavailable(error) : outcomeUnknown(error);
    }
    if (notNow.has(response.status)) throw gatewayUnavailable(new Error(`HTTP ${response.status} to ${path}`));
    if (response.status >= 500) throw outcomeUnknown(new Error(`HTTP ${response.status} to ${path}`));
    const json = parsed(text);
    // A refusal is recognised by its status, even if its body is HTML.
    if (!json && response.status < 400) throw outcomeUnknown(new Error('The answer is not a JSON object.'));
    return { status: response.status, json: json ?? {} };
  }
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The gateway's own reason, if it is in UPPER_SNAKE. */
function reasonOf({ reason }: Record<string, unknown>, otherwise: string): string {
  return typeof reason === 'string' && /^[A-Z][A-Z0-9_]{0,62}$/.test(reason) ? reason : otherwise;
}
