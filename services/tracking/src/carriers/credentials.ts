/** What a poll shows to the carrier: a key that stays, or a token that is bought with one and expires (OAuth 2.0, client credentials). */
import type { Clock } from '@caudal/kernel/time.ts';
import { bodyOf } from './body-of.ts';

export interface Credentials {
  /** Throws if none can be had at the moment. */
  current(signal: AbortSignal): Promise<string>;
  /** The carrier has refused this one: the next call gets another, if there can be another. */
  refused(credential: string): void;
}

/** A key that does not expire. */
export const apiKey = (key: string): Credentials => ({
  current: async () => key,
  refused() {},
});

export interface ClientCredentialsOptions {
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  timeoutMs: number;
  clock: Clock;
}

/** A token is renewed so long before it expires. */
const marginMs = 60_000;
/** If the answer does not say how long it is good. */
const defaultSeconds = 600;
const maxTokenCharacters = 16_384;

/** Tokens of a carrier's token service (RFC 6749, 4.4). Calls at the same time share a request. */
export function clientCredentials(options: ClientCredentialsOptions): Credentials {
  let token: { value: string; goodUntil: number } | undefined;
  let request: Promise<string> | undefined;

  async function fetchToken(): Promise<string> {
    const { tokenUrl, clientId, clientSecret, timeoutMs, clock } = options;
    const response = await fetch(tokenUrl, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: 'grant_type=client_credentials',
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`The token service answered with ${response.status}.`);
    }
    const { access_token: value, expires_in: seconds } = JSON.parse((await bodyOf(response)).toString()) as Record<
      string,
      unknown
    >;
    if (typeof value !== 'string' || value === '' || value.length > maxTokenCharacters)
      throw new Error('The answer of the token service has no access_token.');
    // UPS sends the seconds as text.
    const good = Number(seconds) > 0 ? Number(seconds) : defaultSeconds;
    token = { value, goodUntil: clock().getTime() + good * 1_000 - marginMs };
    return value;
  }

  return {
    async current(signal) {
      if (token && options.clock().getTime() < token.goodUntil) return token.value;
      signal.throwIfAborted();
      request ??= fetchToken().finally(() => {
        request = undefined;
      });
      return request;
    },
    refused(credential) {
      if (token?.value === credential) token = undefined;
    },
  };
}
