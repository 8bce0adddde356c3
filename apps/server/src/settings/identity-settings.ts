/** The settings of who calls: the keys and tokens of users and services. docs/identity.md. */
import type { Settings } from '@caudal/config/config.ts';
import { setting } from '@caudal/config/setting.ts';
import { parseIssuer, parseKeySet, parseServiceKeySet, parseSigningKey } from './keys.ts';

export const identitySettings = {
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
  CAUDAL_SERVICE_KEY: setting.parsed(
    {
      description:
        'The key that signs the calls of this process to other services, and with which relays seal messages.',
      expects: 'a private JSON Web Key: "caudal keys" prints one',
      secrecy: 'secret',
      optional: true,
    },
    parseSigningKey,
  ),
  CAUDAL_SERVICE_JWKS: setting.parsed(
    {
      description:
        "The public keys that check services' tokens and the seals of messages, each with the contexts whose calls it signs and the roles of its workload. Without it they are checked with the public half of CAUDAL_SERVICE_KEY, which then may sign for any service.",
      expects:
        'a JSON Web Key Set in which each key has "kid" and "caudal_contexts", or the URL of one (https:// or file://): "caudal keys --workload" prints one',
      secrecy: 'url',
      optional: true,
    },
    parseServiceKeySet,
  ),
  CAUDAL_ALLOW_UNSEALED_MESSAGES: setting.boolean({
    description:
      'Whether handlers believe messages of RabbitMQ without a valid seal of a relay. Then whoever has an account there can make up events. Without it, the log is read in place of such messages.',
    default: 'false',
  }),
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
} satisfies Settings;
