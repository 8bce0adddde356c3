/** Removes secrets from texts that are shown or logged. Hides too much rather than too little. */

const hidden = '***';

/** Query parameters whose values are shown. Every other one may be a secret, whatever it is called. */
const harmless = new Set(
  [
    // PostgreSQL.
    ...['sslmode', 'sslrootcert', 'sslcert', 'sslnegotiation', 'uselibpqcompat', 'application_name', 'connect_timeout'],
    ...['target_session_attrs', 'statement_timeout', 'client_encoding'],
    // MongoDB.
    ...['replicaSet', 'authSource', 'authMechanism', 'tls', 'ssl', 'tlsCAFile', 'tlsCertificateKeyFile', 'tlsInsecure'],
    ...['readPreference', 'retryWrites', 'retryReads', 'w', 'journal', 'wtimeoutMS', 'maxPoolSize', 'minPoolSize'],
    ...['directConnection', 'loadBalanced', 'appName', 'compressors', 'connectTimeoutMS', 'socketTimeoutMS'],
    // RabbitMQ, mail.
    ...['heartbeat', 'channelMax', 'frameMax', 'locale', 'requireTLS', 'ignoreTLS', 'secure', 'pool'],
  ].map((name) => name.toLowerCase()),
);

/** A user's name, and no token that stands in its place. */
const isName = (text: string) => /^[a-z_][a-z0-9_.-]{0,31}$/i.test(text) && !isToken(text);

/** A long mixture of letters and digits, as tokens are, which some services put into paths. */
const isToken = (text: string) => /^[\w~.%+-]{20,}$/.test(text) && /\d/.test(text) && /[a-z]/i.test(text);

/**
 * The URL without its credentials, its fragment, tokens in its path, and query parameters that are not known to be harmless.
 * Never throws. All text up to the last `@` counts as credentials, since people forget to escape theirs.
 */
export function redactUrl(url: string): string {
  const [, scheme, all] = /^([a-z][a-z0-9+.-]*:\/\/)(.*)$/is.exec(url) ?? [];
  if (scheme === undefined || all === undefined) return url;
  const at = all.lastIndexOf('@');
  const credentials = at < 0 ? '' : `${credentialsShown(all.slice(0, at))}@`;
  const [, place = '', query = '', fragment = ''] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(all.slice(at + 1)) ?? [];
  const path = place.replace(/[^/]+/g, (part, offset: number) => (offset > 0 && isToken(part) ? hidden : part));
  return scheme + credentials + path + query.replace(/[^?&;]+/g, parameterShown) + (fragment && `#${hidden}`);
}

/** The user's name before a password; nothing of what may be a secret without one. */
function credentialsShown(credentials: string): string {
  const [, user = '', password = ''] = /^([^/?#:@]*):(.*)$/s.exec(credentials) ?? [];
  return password !== '' && (user === '' || isName(user)) ? `${user}:${hidden}` : hidden;
}

function parameterShown(parameter: string): string {
  const [name = '', value] = parameter.split(/=(.*)/s, 2);
  if (value === undefined) return harmless.has(name.toLowerCase()) ? name : hidden;
  if (harmless.has(name.toLowerCase())) return parameter;
  return `${isName(name) ? name : hidden}=${hidden}`;
}

/** The start of a URL is the start of a word, and short: so that no text takes long. */
const urls = /(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'`<>]+/gi;
/** `user:password@`, of a URL whose scheme is missing or broken. */
const loose = /(?<![^\s"'`<>(/=,])[^\s:@/"'`<>(=,]{1,64}:[^\s@/"'`<>]{1,256}@/g;
const pairs = /\b(password|passwd|pwd|secret|token|api[_-]?key|signature|sig)=[^\s"'`<>&;,)]+/gi;
const jsonWebToken = /\beyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?/g;

/**
 * The text without what `redactUrl` hides of each URL in it, credentials without a scheme, `password=...`, and tokens. Files
 * keep their paths, as stacks need them.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(urls, (url) => {
      if (/^file:/i.test(url)) return url;
      // What follows the URL in a sentence is none of it.
      let end = url.length;
      while (end > 0 && ').,:;]}'.includes(url[end - 1]!)) end -= 1;
      return redactUrl(url.slice(0, end)) + url.slice(end);
    })
    .replace(loose, (found) => (found.endsWith(`:${hidden}@`) ? found : `${hidden}@`))
    .replace(pairs, `$1=${hidden}`)
    .replace(jsonWebToken, hidden);
}

/** Replaces a secret: it shows only that there is one. */
export const redactedSecret = hidden;
