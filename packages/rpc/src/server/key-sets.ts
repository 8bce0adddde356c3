/**
 * Sets of keys that check tokens (RFC 7517): given, in a file, at a URL, or found by OpenID Connect Discovery 1.0. All but given
 * ones are read again while they are used, so that a key that is withdrawn ends within a minute: see refreshed.ts.
 */
import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import { refreshed } from './refreshed.ts';

/** Keys as they are known now. Another object stands for other keys. */
export interface KeySet {
  keys: readonly JWK[];
  /** The key of a token's header. */
  find: JWTVerifyGetKey;
}

export interface KeySource {
  /** For messages: where the keys are from. */
  name: string;
  /** Whether the keys may change, or be out of reach. */
  isRemote: boolean;
  get(): KeySet | Promise<KeySet>;
  /** For a token whose key is unknown: reads again, at most every 10 s. */
  renew(): KeySet | Promise<KeySet>;
}

export interface KeySourceOptions {
  /** How long the last keys are used while others can't be read; an hour if absent. */
  maxStaleMs?: number;
}

/** An issuer whose keys are found by discovery. */
export interface Discovery {
  /** Exactly as its tokens name it. */
  issuer: string;
  /** Whether keys may be at `http://`, at any host. */
  allowHttp: boolean;
}

const hourMs = 3_600_000;
const unknownKeyMs = 10_000;
const fetchMs = 3_000;
const maxBytes = 256 * 1024;
const maxKeys = 100;
const discoveryMs = 600_000;

/** Where keys come from: the set itself, a URL (`https:`, `http:`, `file:`), or an issuer. */
export function keySource(
  from: JSONWebKeySet | URL | Discovery,
  { maxStaleMs = hourMs }: KeySourceOptions = {},
): KeySource {
  if ('keys' in from) {
    const set = keySetOf(from);
    return { name: 'the settings', isRemote: false, get: () => set, renew: () => set };
  }
  const place = 'issuer' in from ? new URL(from.issuer) : from;
  const name = `the keys of ${place.protocol === 'file:' ? place.pathname : `${place.origin}${place.pathname}`}`;
  const text = 'issuer' in from ? discoveredText(from) : textOf(from);
  let last: { text: string; set: KeySet } | undefined;
  const keys = refreshed<KeySet>({
    name,
    maxStaleMs,
    async read() {
      const found = await text();
      if (last?.text !== found) last = { text: found, set: keySetOf(parse(found)) };
      return last.set;
    },
  });
  return { name, isRemote: true, get: keys.get, renew: () => keys.renew(unknownKeyMs) };
}

/** Whether two keys are the same, whatever they are called. */
export const isSameKey = (a: JWK, b: JWK) =>
  a === b || (a.kty === b.kty && a.crv === b.crv && a.x === b.x && a.y === b.y && a.n === b.n && a.e === b.e);

/** Takes from a set the keys that another one has, and remembers the last outcome: a new set imports its keys anew. */
export function keysWithout(): (set: KeySet, others: KeySet) => KeySet {
  let last: { set: KeySet; others: KeySet; left: KeySet } | undefined;
  return (set, others) => {
    if (last?.set !== set || last.others !== others) {
      const keys = set.keys.filter((key) => !others.keys.some((other) => isSameKey(key, other)));
      last = { set, others, left: keys.length === set.keys.length ? set : keySetOf({ keys }) };
    }
    return last.left;
  };
}

function keySetOf({ keys }: { keys: readonly JWK[] }): KeySet {
  // A shared or a private key is none to check with. Whoever publishes one by mistake has other problems.
  const usable = keys.filter((key) => typeof key?.kty === 'string' && !('k' in key) && !('d' in key));
  return { keys: usable, find: createLocalJWKSet({ keys: usable }) };
}

function parse(text: string): JSONWebKeySet {
  const { keys } = JSON.parse(text) as { keys?: JWK[] };
  if (!Array.isArray(keys)) throw new Error('It is not a JSON Web Key Set: it has no list "keys".');
  if (keys.length > maxKeys) throw new Error(`It has ${keys.length} keys, more than ${maxKeys}.`);
  return { keys };
}

/** Reads the text at a URL. What has not changed is not sent again, if the server gives ETags. */
function textOf(url: URL): () => Promise<string> {
  if (url.protocol === 'file:') return async () => bounded(await readFile(url, 'utf8'));
  let last: { etag: string; text: string } | undefined;
  return async () => {
    const response = await fetch(url, {
      headers: { accept: 'application/jwk-set+json, application/json', ...(last && { 'if-none-match': last.etag }) },
      // A redirect would lead to keys of a place that nobody has named.
      redirect: 'manual',
      signal: AbortSignal.timeout(fetchMs),
    });
    if (response.status === 304 && last) return last.text;
    if (response.status !== 200) throw new Error(`${url.origin}${url.pathname} has answered ${response.status}.`);
    const text = await boundedText(response);
    const etag = response.headers.get('etag');
    last = etag === null ? undefined : { etag, text };
    return text;
  };
}

function bounded(text: string): string {
  if (text.length > maxBytes) throw new Error(`A key set has at most ${maxBytes} bytes.`);
  return text;
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > maxBytes) throw new Error(`A key set has at most ${maxBytes} bytes.`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Reads the keys that the issuer's metadata names. The metadata is read again every 10 minutes, and when the keys are gone. */
function discoveredText({ issuer, allowHttp }: Discovery): () => Promise<string> {
  const metadata = textOf(new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`));
  let keys: { at: number; text: () => Promise<string>; url: string } | undefined;

  async function locate(): Promise<NonNullable<typeof keys>> {
    if (keys && Math.abs(Date.now() - keys.at) < discoveryMs) return keys;
    const found = JSON.parse(await metadata()) as { issuer?: unknown; jwks_uri?: unknown };
    // Otherwise another issuer's tokens would be taken for this one's (OpenID Connect Discovery 1.0, 4.3).
    if (found.issuer !== issuer)
      throw new Error(
        `The issuer calls itself ${JSON.stringify(found.issuer)?.slice(0, 200)}: set CAUDAL_OIDC_ISSUER to that.`,
      );
    const url =
      typeof found.jwks_uri === 'string' && URL.canParse(found.jwks_uri) ? new URL(found.jwks_uri) : undefined;
    // An issuer at http:// was allowed, so its own host is no weaker for the keys.
    const isAllowed = allowHttp || (issuer.startsWith('http://') && url?.hostname === new URL(issuer).hostname);
    if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && isAllowed))
      throw new Error("The issuer's jwks_uri is not a URL that begins with https://.");
    return { at: Date.now(), url: url.href, text: keys?.url === url.href ? keys.text : textOf(url) };
  }

  return async () => {
    keys = await locate();
    try {
      return await keys.text();
    } catch (error) {
      keys = undefined;
      throw error;
    }
  };
}
