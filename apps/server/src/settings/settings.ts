/** The settings of a Caudal process. Each context adds its own (context.ts). */
import type { Settings, Values } from '@caudal/config/config.ts';
import { setting } from '@caudal/config/setting.ts';
import { parsePersonalDataKeys } from '@caudal/eventlog/personal/cipher.ts';
import { languages as searchLanguages } from '@caudal/projections/search/stems.ts';
import { balancingExpects, parseBalancing } from '@caudal/rpc/client/balancing.ts';
import { contexts } from '../contexts.ts';
import { archivePlaceExpects, parseArchivePlace } from './archive-place.ts';
import { cacheSettings } from './cache-settings.ts';
import { identitySettings } from './identity-settings.ts';
import { limitSettings } from './limit-settings.ts';
import { parseOrigins } from './origins.ts';
import { tlsSettings } from './tls-settings.ts';
import { parseTokenKeyList } from './token-key-list.ts';
import { parseActiveShards, parseWriteConcern } from './write-concerns.ts';

/** The roles of a process: what it does for its contexts. */
export const roles = ['command', 'query', 'relay', 'projector', 'saga', 'jobs', 'worker'] as const;
export type Role = (typeof roles)[number];

/** Roles by their deprecated names: accepted for one more version, with a warning. */
export const formerRoles: Record<string, Role> = { process: 'saga' };

const contextNames = contexts.map(({ name }) => name);

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
  CAUDAL_REPLICA_DATABASE_URL: setting.url({
    description:
      'A streaming replica of that PostgreSQL, for reads of views that ask for the read strength ONE. Without it, and while it is away, they are read like the others.',
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
  ...cacheSettings,
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
  CAUDAL_BALANCING: setting.parsed(
    {
      description: 'How this process chooses among the addresses of another workload that it calls.',
      expects: balancingExpects,
      secrecy: 'public',
      default: 'round-robin',
    },
    parseBalancing,
  ),
  ...limitSettings,
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

  ...identitySettings,
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
