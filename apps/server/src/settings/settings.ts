/** The settings of a Caudal process. Each context adds its own (context.ts). */
import type { Settings, Values } from '@caudal/config/config.ts';
import { type Setting, setting } from '@caudal/config/setting.ts';
import { parsePersonalDataKeys } from '@caudal/eventlog/personal/cipher.ts';
import { languages as searchLanguages } from '@caudal/projections/search/stems.ts';
import { contexts } from '../contexts.ts';
import { archivePlaceExpects, parseArchivePlace } from './archive-place.ts';
import { parseIssuer, parseKeySet, parseServiceKeySet, parseSigningKey } from './keys.ts';
import { parseOrigins } from './origins.ts';
import { parseProxies } from './proxies.ts';
import { parseRateLimit, rateLimitExpects } from './rate-limits.ts';
import { tlsSettings } from './tls-settings.ts';
import { parseTokenKeyList } from './token-key-list.ts';
import { parseActiveShards, parseWriteConcern } from './write-concerns.ts';

/** The roles of a process: what it does for its contexts. */
export const roles = ['command', 'query', 'relay', 'projector', 'saga', 'jobs'] as const;
export type Role = (typeof roles)[number];

/** Roles by their deprecated names: accepted for one more version, with a warning. */
export const formerRoles: Record<string, Role> = { process: 'saga' };

const contextNames = contexts.map(({ name }) => name);

/** The settings of rates, one for each class. */
function rateLimits<Class extends string>(classes: Record<Class, { calls: string; of: string }>) {
  const made = (Object.entries(classes) as [Class, { calls: string; of: string }][]).map(([name, { calls, of }]) => [
    `CAUDAL_RATE_LIMIT_${name}`,
    setting.parsed(
      {
        description: `How many calls ${of} a caller may make; ten times as many if its token is good for all owners.`,
        expects: rateLimitExpects,
        secrecy: 'public',
        default: calls,
      },
      parseRateLimit,
    ),
  ]);
  return Object.fromEntries(made) as Record<`CAUDAL_RATE_LIMIT_${Class}`, Setting<ReturnType<typeof parseRateLimit>>>;
}

/** Settings that belong to no context. */
export const runtimeSettings = {
  CAUDAL_ROLES: setting.list({
    description: 'The roles of this process: what it does for its contexts.',
    default: roles.join(','),
    allowed: roles,
    formerWords: formerRoles,
  }),
  CAUDAL_CONTEXTS: setting.list({
    description: 'The contexts that this process runs.',
    default: contextNames.join(','),
    allowed: contextNames,
  }),
  CAUDAL_PROJECTIONS: setting.list({
    description: 'The projections that the projector role runs, by name; all projections of its contexts if not set.',
    optional: true,
    allowed: contexts.flatMap(({ projections }) => projections.map(({ projection }) => projection.name)),
  }),

  DATABASE_URL: setting.url({
    description: 'PostgreSQL, with the logs: one schema per context. Without it an embedded server is started.',
    optional: true,
    protocols: ['postgres', 'postgresql'],
  }),
  CAUDAL_OWNER_DATABASE_URL: setting.url({
    description:
      'The same PostgreSQL as the role that owns the tables, for `caudal migrate`, and for the role jobs if there is an archive. `caudal migrate` then grants what the application needs to the user of DATABASE_URL. Without it that user must own the tables.',
    optional: true,
    protocols: ['postgres', 'postgresql'],
  }),
  CAUDAL_AUDIT_RETENTION_MONTHS: setting.int({
    description:
      'How many whole months the audit log keeps behind the present one. `caudal migrate` writes it into the database.',
    default: '24',
    min: 1,
    max: 1_200,
  }),
  CAUDAL_AUDIT_REASON: setting.string({
    description: 'Why a command of `caudal` is run, for its record in the audit log. Nothing else reads this setting.',
    optional: true,
    pattern: /^[^\p{Cc}]{1,200}$/u,
    expects: 'one line of at most 200 characters',
  }),
  CAUDAL_DATA_DIR: setting.string({
    description:
      "The folder of the embedded PostgreSQL and of development keys, if DATABASE_URL is not set. `bin/caudal` uses the checkout's `.caudal`, like `npm start`, in whatever folder it is called.",
    default: '.caudal',
  }),
  CAUDAL_POOL_SIZE: setting.int({
    description:
      'Connections to PostgreSQL that the contexts of this process share. In addition it opens one to listen, and where it appends one a context and four for locks.',
    default: '8',
    min: 2,
    max: 200,
  }),
  RABBITMQ_URL: setting.url({
    description: 'RabbitMQ, which carries events. Without it consumers read the logs directly.',
    optional: true,
    protocols: ['amqp', 'amqps'],
  }),
  RABBITMQ_MANAGEMENT_URL: setting.url({
    description:
      "RabbitMQ's management API, with credentials. `caudal migrate` sets the bounds of the queues there, and relays find queues of others that take no messages.",
    optional: true,
    protocols: ['http', 'https'],
  }),
  MONGODB_URL: setting.url({
    description: 'MongoDB, which stores views. Without it they are stored in PostgreSQL.',
    optional: true,
    protocols: ['mongodb', 'mongodb+srv'],
  }),
  CAUDAL_MONGODB_WRITE_CONCERN: setting.parsed(
    {
      description:
        "Which members of MongoDB's replica set have a write before it counts as done. With less than the majority a fail-over may undo views that nothing repairs but a rebuild.",
      expects: '"majority", a number of members from 1 to 50, or the name of a write concern of the replica set',
      secrecy: 'public',
      default: 'majority',
    },
    parseWriteConcern,
  ),
  CAUDAL_MONGODB_JOURNAL: setting.boolean({
    description: 'Whether these members have the write in their journals on disk.',
    default: 'true',
  }),
  ELASTICSEARCH_URL: setting.url({
    description: 'Elasticsearch, which searches products. Without it PostgreSQL does.',
    optional: true,
    protocols: ['http', 'https'],
  }),
  CAUDAL_ELASTICSEARCH_WAIT_FOR_ACTIVE_SHARDS: setting.parsed(
    {
      description:
        'How many copies of a shard, the primary among them, must be there before Elasticsearch begins a write. A write always waits for all copies that are in sync. More than the index has (its replicas and 1) refuses every write.',
      expects: '"all", or a number of copies from 1 to 20',
      secrecy: 'public',
      default: '1',
    },
    parseActiveShards,
  ),
  CAUDAL_SEARCH_LANGUAGES: setting.list({
    description:
      'Languages of which a search also finds plurals and other forms, by ISO 639-1; "none" for none. Set it alike in all processes, and rebuild product-search after a change.',
    default: 'en',
    allowed: ['none', ...searchLanguages],
  }),
  REDIS_URL: setting.url({
    description: 'Redis, which shares caches between processes. Without it each process has its own.',
    optional: true,
    protocols: ['redis', 'rediss'],
  }),
  CAUDAL_ARCHIVE: setting.parsed(
    {
      description:
        'Where old months of the logs go, and are read from. Without it they stay in PostgreSQL. Set it alike in all processes.',
      expects: archivePlaceExpects,
      secrecy: 'public',
      optional: true,
    },
    parseArchivePlace,
  ),
  CAUDAL_ARCHIVE_AFTER_MONTHS: setting.int({
    description: 'How many whole months stay in PostgreSQL behind the present one, if there is an archive.',
    default: '24',
    min: 1,
    max: 1_200,
  }),
  CAUDAL_ARCHIVE_ENDPOINT: setting.string({
    description: "The server of the archive's bucket, if it is not Amazon S3.",
    optional: true,
    pattern: /^https?:\/\/[^/@\s]+\/?$/,
    expects: 'a URL that starts with http:// or https://, without a path and credentials',
  }),
  CAUDAL_ARCHIVE_REGION: setting.string({ description: "The region of the archive's bucket.", default: 'us-east-1' }),
  CAUDAL_ARCHIVE_ACCESS_KEY_ID: setting.secret({
    description:
      "The key of the archive's bucket. Without it what AWS' libraries find: their variables, a file, or the identity that the cloud gives the process.",
    optional: true,
  }),
  CAUDAL_ARCHIVE_SECRET_ACCESS_KEY: setting.secret({
    description: 'The secret of that key.',
    optional: true,
  }),
  CAUDAL_NAMESPACE: setting.string({
    description:
      'The prefix of queues, collections, indices and cache keys, so that several systems can share servers.',
    optional: true,
    pattern: /^[a-z][a-z0-9_]{0,40}$/,
    expects: 'a lower-case word of at most 41 letters, digits and underscores',
  }),

  CAUDAL_HOST: setting.string({ description: 'The address to listen on.', default: '127.0.0.1' }),
  CAUDAL_REST_PORT: setting.port({ description: 'The port of the REST API and /docs.', default: '8080' }),
  CAUDAL_GRPC_PORT: setting.port({ description: 'The port of gRPC, /livez and /readyz.', default: '9090' }),
  CAUDAL_SHUTDOWN_GRACE: setting.duration({
    description:
      'How long a process still serves calls after /readyz answers "not ready", so that gateways stop sending calls first.',
    default: '0s',
    max: 120_000,
  }),
  CAUDAL_FORWARD_HOST: setting.string({
    description:
      'The address at which other processes of the same release reach the gRPC port of this one, to forward commands of a resource that many processes change at once. Without it none are forwarded, here or to here.',
    optional: true,
    pattern: /^[a-zA-Z0-9.:-]{1,253}$/,
    expects: "an IP address or a host name: on Kubernetes the pod's IP",
  }),
  CAUDAL_METRICS_PORT: setting.port({
    description: "The port of Prometheus' /metrics; none if not set.",
    optional: true,
  }),
  CAUDAL_OTLP_ENDPOINT: setting.url({ description: 'Where traces are sent by OTLP (gRPC).', optional: true }),
  CAUDAL_TRACE_SAMPLING: setting.number({
    description:
      'The share of traces that is recorded, of those that begin in this process. For others the decision of the caller counts.',
    // All, as in OpenTelemetry's SDKs. Recording costs time, so set a smaller share if there are many calls.
    default: '1',
    min: 0,
    max: 1,
  }),
  CAUDAL_COMMAND_ADDRESS: setting.string({
    description:
      'The address of the commands of contexts that do not run in this process; {context} becomes their name.',
    default: '127.0.0.1:9090',
  }),
  CAUDAL_QUERY_ADDRESS: setting.string({
    description:
      'The address of the queries of contexts that do not run in this process; {context} becomes their name.',
    default: '127.0.0.1:9090',
  }),
  CAUDAL_MAX_CONCURRENT_CALLS: setting.int({
    description: 'Calls in flight at the same time; more are refused with RESOURCE_EXHAUSTED.',
    default: '1000',
    min: 1,
  }),
  CAUDAL_REQUEST_MEMORY: setting.bytes({
    description:
      'What requests in flight may hold, unfinished ones included, and as much for answers. A caller gets a quarter of it. While they are converted they take about three times as much.',
    default: '32MiB',
    min: 16 * 2 ** 20,
    max: 16 * 2 ** 30,
  }),
  CAUDAL_REQUEST_BODY_TIMEOUT: setting.duration({
    description:
      "How long a request's body or message may take to arrive; a second longer for each 16 KiB that have arrived, up to a minute.",
    default: '10s',
    min: 1_000,
    max: 60_000,
  }),
  ...rateLimits({
    LIGHT: { calls: '10000/10s', of: 'that the contract calls light' },
    READ: { calls: '5000/10s', of: 'without side effects' },
    WRITE: { calls: '5000/10s', of: 'with side effects' },
    HEAVY: { calls: '1000/10s', of: 'that the contract calls heavy, such as searches' },
    WEBHOOK: { calls: '10000/10s', of: 'that are webhooks' },
  }),
  CAUDAL_TRUSTED_PROXIES: setting.parsed(
    {
      description:
        'The proxies whose X-Forwarded-For is believed, which tells callers without a token apart. Without it the address of the connection counts.',
      expects: 'IP addresses and networks with commas between them, such as 10.0.0.0/8,fd00::/8',
      secrecy: 'public',
      optional: true,
    },
    parseProxies,
  ),
  CAUDAL_PREFETCH: setting.int({
    description:
      'Messages that a handler holds in a process, twice as many if it has all of its parts; it handles up to half of them at once.',
    default: '512',
    min: 1,
    max: 5000,
  }),
  CAUDAL_RECONCILIATION_INTERVAL: setting.duration({
    description: 'How often consumers compare the events that they have handled with the logs.',
    formerly: 'CAUDAL_SWEEP_INTERVAL',
    default: '30s',
    min: 200,
  }),
  CAUDAL_RECONCILIATION_MIN_AGE: setting.duration({
    description: 'How old an event must be before reconciliation counts it as missing.',
    formerly: 'CAUDAL_SWEEP_MIN_AGE',
    default: '10s',
    min: 0,
  }),

  CAUDAL_AUTH: setting.oneOf(['jwt', 'off'], {
    description:
      'Whether callers need a token. "off" makes every caller an administrator: for development only, and only with the embedded PostgreSQL on loopback, unless CAUDAL_ALLOW_NO_AUTH is true.',
    default: 'jwt',
  }),
  CAUDAL_ALLOW_NO_AUTH: setting.boolean({
    description: 'Whether CAUDAL_AUTH=off may start on a real database, or listen beyond loopback.',
    default: 'false',
  }),
  CAUDAL_JWKS: setting.parsed(
    {
      description: "The public keys that check users' tokens. An embedded system makes a key at its first start.",
      expects:
        'a JSON Web Key Set of public keys, or the URL of one, which is read again while it is used (https:// or file://): "caudal keys" prints one',
      // Not public: a private key that is set here by mistake must not be shown.
      secrecy: 'url',
      optional: true,
    },
    parseKeySet,
  ),
  CAUDAL_OIDC_ISSUER: setting.parsed(
    {
      description:
        "The issuer of users' tokens, whose keys are found by OpenID Connect discovery, instead of CAUDAL_JWKS and CAUDAL_ISSUER.",
      expects: 'the URL of an issuer, exactly as its tokens name it: https://issuer.example',
      secrecy: 'public',
      optional: true,
    },
    parseIssuer,
  ),
  CAUDAL_ISSUER: setting.string({ description: "The `iss` that users' tokens must have.", default: 'caudal' }),
  CAUDAL_AUDIENCE: setting.string({ description: "The `aud` that users' tokens must have.", default: 'caudal' }),
  CAUDAL_TOKEN_MAX_LIFETIME: setting.duration({
    description: "The longest time that a user's token may be valid: from its `iat`, and from now, to its `exp`.",
    default: '24h',
    min: 60_000,
    max: 90 * 24 * 3_600_000,
  }),
  CAUDAL_JWKS_MAX_STALE: setting.duration({
    description:
      'How long the last keys are used while their URL or file cannot be read. A key that is withdrawn meanwhile counts so long.',
    default: '1h',
    min: 60_000,
    max: 24 * 3_600_000,
  }),
  CAUDAL_ALLOW_HTTP_JWKS: setting.boolean({
    description:
      'Whether key sets and issuers may be at http://, where others on the way can replace keys. Without it only on loopback, for an embedded system that listens on loopback.',
    default: 'false',
  }),
  CAUDAL_USER_KEY: setting.parsed(
    {
      description:
        "The key with which `caudal token` and `caudal import` sign users' tokens; CAUDAL_SERVICE_KEY if not set. No process of the system needs it.",
      expects: 'a private JSON Web Key: "caudal keys" prints one',
      secrecy: 'secret',
      optional: true,
    },
    parseSigningKey,
  ),
  CAUDAL_CUSTOMER_CLAIM: setting.string({
    description:
      'The claim of a token that is the id of its customer. Services are named by `sub` in any case. With `email`, tokens need `email_verified: true`.',
    default: 'sub',
    pattern: /^[\x21-\x7e]{1,255}$/,
    expects: 'the name of a claim, such as sub, email or https://shop.example/customer_id',
  }),
  CAUDAL_CORS_ORIGINS: setting.parsed(
    {
      description: 'The origins of web pages that may call over REST; none if not set.',
      expects: 'origins with commas between them, such as https://shop.example,http://localhost:5173',
      secrecy: 'public',
      optional: true,
    },
    parseOrigins,
  ),
  CAUDAL_CORS_MAX_AGE: setting.duration({
    description: 'How long a browser may keep the answer to a preflight request.',
    default: '10m',
    min: 0,
    max: 24 * 3_600_000,
  }),
  CAUDAL_SERVICE_KEY: setting.parsed(
    {
      description: 'The key that signs the calls of this process to other services.',
      expects: 'a private JSON Web Key: "caudal keys" prints one',
      secrecy: 'secret',
      optional: true,
    },
    parseSigningKey,
  ),
  CAUDAL_SERVICE_JWKS: setting.parsed(
    {
      description:
        "The public keys that check services' tokens, each with the contexts whose calls it signs. Without it they are checked with the public half of CAUDAL_SERVICE_KEY, which then may sign for any service.",
      expects:
        'a JSON Web Key Set in which each key has "kid" and "caudal_contexts", or the URL of one (https:// or file://): "caudal keys --workload" prints one',
      secrecy: 'url',
      optional: true,
    },
    parseServiceKeySet,
  ),
  CAUDAL_SERVICE_ISSUER: setting.string({
    description: "The `iss` of services' tokens; CAUDAL_ISSUER if not set.",
    optional: true,
  }),
  CAUDAL_SERVICE_AUDIENCE: setting.string({
    description: "The `aud` of services' tokens; CAUDAL_AUDIENCE if not set.",
    optional: true,
  }),
  CAUDAL_SERVICE_TOKEN_MAX_LIFETIME: setting.duration({
    description: "The longest time that a service's token may be valid. Processes sign theirs for 5 minutes.",
    default: '1h',
    min: 600_000,
    max: 24 * 3_600_000,
  }),
  CAUDAL_CREDENTIALS: setting.oneOf(['auto', 'required', 'off'], {
    description:
      'Whether this process takes API keys and refuses what was revoked, by what the commands of the context credentials say. If it has never reached these, "required" keeps it unready, and "auto" goes on as if nothing were revoked. The chart sets "required".',
    default: 'auto',
  }),
  CAUDAL_CREDENTIALS_MAX_STALE: setting.duration({
    description:
      "How long what is known of revocations and API keys is used while the context credentials can't be reached. Then users' tokens and API keys are refused with UNAVAILABLE.",
    default: '24h',
    min: 60_000,
    max: 7 * 24 * 3_600_000,
  }),
  CAUDAL_TOKEN: setting.secret({
    description:
      'The token of `caudal import`, unless --token is given. Without both, `caudal import` signs a token itself, for a system on this machine only. Nothing else reads this setting.',
    optional: true,
  }),
  CAUDAL_PERSONAL_DATA_KEYS: setting.parsed(
    {
      description:
        'The keys that wrap the keys of persons, with which personal data is sealed in the logs. The first one wraps, all of them unwrap. An embedded system makes one; a real database needs one.',
      expects: 'ID:KEY,... where "openssl rand -base64 32" prints a KEY',
      secrecy: 'secret',
      optional: true,
    },
    parsePersonalDataKeys,
  ),
  CAUDAL_TOKEN_KEYS: setting.parsed(
    {
      description:
        'Keys that seal page tokens and consistency tokens: the first one seals, all of them open. Set it alike in all processes. Without it an embedded system makes one at its first start, and others derive one from the credentials in DATABASE_URL. The word derived in the list stands for that one.',
      expects: 'ID:KEY,... where "openssl rand -base64 32" prints a KEY',
      secrecy: 'secret',
      optional: true,
    },
    parseTokenKeyList,
  ),
  CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: setting.boolean({
    description: 'Whether a process without CAUDAL_PERSONAL_DATA_KEYS may start, and writes personal data as it is.',
    default: 'false',
  }),
  CAUDAL_REFLECTION: setting.boolean({ description: 'Whether gRPC reflection answers.', default: 'false' }),
  ...tlsSettings,
} satisfies Settings;

/** What the names of Caudal's settings begin with, where an unknown name is likely a typing error. */
export const prefixes = ['CAUDAL_', ...contextNames.map((name) => `${name.toUpperCase()}_`)];

/** All settings of a process. */
export const settings: typeof runtimeSettings & Settings = Object.assign(
  {},
  runtimeSettings,
  ...contexts.map((context) => context.settings),
);

export type RuntimeValues = Values<typeof runtimeSettings> & Record<string, unknown>;
