/** Checks of the settings of TLS before a process starts: docs/tls.md. */
import type { Problem } from '@caudal/config/config.ts';
import type { TlsValues } from './tls-settings.ts';

/** A certificate and its key, or neither; and what client certificates are checked with. */
export function incompleteTls(
  values: Pick<
    TlsValues,
    'CAUDAL_TLS_CERTIFICATE' | 'CAUDAL_TLS_KEY' | 'CAUDAL_TLS_CA' | 'CAUDAL_TLS_SERVER_NAME' | 'CAUDAL_TLS_CLIENTS'
  > & { CAUDAL_AUTH: string },
): Problem | undefined {
  const { CAUDAL_TLS_CERTIFICATE: certificate, CAUDAL_TLS_KEY: key, CAUDAL_TLS_CLIENTS: clients } = values;
  if (Boolean(certificate) !== Boolean(key))
    return {
      name: certificate ? 'CAUDAL_TLS_KEY' : 'CAUDAL_TLS_CERTIFICATE',
      wrong: `it is not set, but ${certificate ? 'CAUDAL_TLS_CERTIFICATE' : 'CAUDAL_TLS_KEY'} is`,
      fix: 'Set both, or neither',
    };
  if (clients !== 'services') return undefined;
  if (values.CAUDAL_AUTH === 'off')
    return {
      name: 'CAUDAL_TLS_CLIENTS',
      wrong: 'it is "services", but with CAUDAL_AUTH=off every caller counts as a service',
      fix: 'Set it to any, or set CAUDAL_AUTH=jwt',
    };
  const missing = (['CAUDAL_TLS_CERTIFICATE', 'CAUDAL_TLS_CA', 'CAUDAL_TLS_SERVER_NAME'] as const).find(
    (name) => !values[name],
  );
  return missing
    ? {
        name: missing,
        wrong: 'it is not set, but client certificates are checked with it, because CAUDAL_TLS_CLIENTS is "services"',
        fix: 'Set it, or set CAUDAL_TLS_CLIENTS=any',
      }
    : undefined;
}

interface Encryption {
  /** A parameter of the URL that names another host than the URL's own, which counts then. */
  hostParameter?: string;
  /** Whether a URL without blanks around it is encrypted, and the server verified. */
  is(url: string): boolean;
  /** Completes "Write ...". */
  write: string;
}

const scheme = (...names: string[]): Encryption => ({
  is: (url) => names.some((name) => url.toLowerCase().startsWith(`${name}://`)),
  write: `${names[0]}://`,
});

/**
 * A parameter of a URL, as its driver reads it: decoded, and of several the last one. Other capitals make another name, which is
 * ignored, but for MongoDB.
 */
function parameter(url: string, name: string, anyCapitals = false): string | undefined {
  const query = /\?([^#]*)/.exec(url)?.[1] ?? '';
  const named = (given: string) => (anyCapitals ? given.toLowerCase() === name.toLowerCase() : given === name);
  return [...new URLSearchParams(query)].findLast(([given]) => named(given))?.[1].toLowerCase();
}

const postgres: Encryption = {
  is(url) {
    const isOn = parameter(url, 'sslrootcert') || ['true', '1'].includes(parameter(url, 'ssl') ?? '');
    const mode = parameter(url, 'sslmode') ?? (isOn ? 'verify-full' : 'disable');
    // libpq's meaning of the others leaves out the check of the server.
    return parameter(url, 'uselibpqcompat') === 'true'
      ? mode === 'verify-full'
      : ['verify-full', 'verify-ca', 'require', 'prefer'].includes(mode);
  },
  write: '?sslmode=verify-full at its end',
  hostParameter: 'host',
};

const mongodb: Encryption = {
  is(url) {
    const option = (name: string) => parameter(url, name, true);
    const given = option('tls') ?? option('ssl') ?? String(url.startsWith('mongodb+srv://'));
    const unverified = ['tlsInsecure', 'tlsAllowInvalidCertificates', 'tlsAllowInvalidHostnames'];
    return given === 'true' && unverified.every((name) => option(name) !== 'true');
  },
  write: '?tls=true at its end',
};

const mail: Encryption = {
  is: (url) =>
    (url.toLowerCase().startsWith('smtps://') || parameter(url, 'requireTLS') === 'true') &&
    parameter(url, 'tls.rejectUnauthorized') !== 'false' &&
    parameter(url, 'ignoreTLS') !== 'true',
  write: 'smtps://, or ?requireTLS=true at its end',
};

/** What a process calls, by its setting. A test holds this against all settings that are URLs. */
export const called: Record<string, Encryption> = {
  DATABASE_URL: postgres,
  CAUDAL_OWNER_DATABASE_URL: postgres,
  CAUDAL_REPLICA_DATABASE_URL: postgres,
  RABBITMQ_URL: scheme('amqps'),
  RABBITMQ_MANAGEMENT_URL: scheme('https'),
  MONGODB_URL: mongodb,
  ELASTICSEARCH_URL: scheme('https'),
  REDIS_URL: scheme('rediss'),
  CAUDAL_ARCHIVE_ENDPOINT: scheme('https'),
  CAUDAL_JWKS: scheme('https'),
  CAUDAL_OIDC_ISSUER: scheme('https'),
  CAUDAL_SERVICE_JWKS: scheme('https'),
  CAUDAL_OTLP_ENDPOINT: scheme('https'),
  PAYMENTS_GATEWAY_URL: scheme('https'),
  NOTIFICATIONS_MAIL_URL: mail,
};

/** Whether all hosts of a URL are this machine, or it names a file or a socket. */
function isHere(url: string, { hostParameter }: Encryption): boolean {
  if (/^file:/i.test(url)) return true;
  const other = hostParameter && parameter(url, hostParameter);
  if (other !== undefined) return other.startsWith('/') || other.startsWith('%2f') || isLoopback(other);
  const hosts = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#]*)/i.exec(url)?.[1]?.split(',') ?? [];
  return hosts.length > 0 && hosts.every(isLoopback);
}

const isLoopback = (host: string) => /^(localhost|127(\.\d+){3}|\[?::1\]?)(:\d+)?$/i.test(host);

/** The first setting with a URL without TLS. `values`: of all settings, those of contexts, too. */
export function plainUrl(values: Record<string, unknown>): Problem | undefined {
  for (const [name, encryption] of Object.entries(called)) {
    const value = values[name];
    // A key set itself is no URL.
    if (typeof value !== 'string' && !(value instanceof URL)) continue;
    const urls = String(value).split(name === 'ELASTICSEARCH_URL' ? ',' : /(?!)/);
    if (urls.every((url) => encryption.is(url.trim()) || isHere(url.trim(), encryption))) continue;
    return {
      name,
      wrong: 'its URL is without TLS, or without the check of the server, and CAUDAL_TLS_REQUIRED is true',
      fix: `Write ${encryption.write}, or set CAUDAL_TLS_REQUIRED=false`,
    };
  }
  return undefined;
}

/** The problem if calls to other processes are plain. */
export const plainCalls: Problem = {
  name: 'CAUDAL_TLS_CALLS',
  wrong: 'this process calls other Caudal processes without TLS, and CAUDAL_TLS_REQUIRED is true',
  fix: 'Set CAUDAL_TLS_CERTIFICATE and CAUDAL_TLS_KEY, or CAUDAL_TLS_CALLS=true, or CAUDAL_TLS_REQUIRED=false',
};

/** Whether the process calls other Caudal processes over TLS. */
export const callsOverTls = ({
  CAUDAL_TLS_CALLS: calls,
  CAUDAL_TLS_CERTIFICATE: certificate,
}: Pick<TlsValues, 'CAUDAL_TLS_CALLS' | 'CAUDAL_TLS_CERTIFICATE'>): boolean => calls ?? certificate !== undefined;
