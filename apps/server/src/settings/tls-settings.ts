/** The settings of TLS, and of what browsers are told: docs/tls.md. */
import type { Settings, Values } from '@caudal/config/config.ts';
import { setting } from '@caudal/config/setting.ts';

const path = (what: string) =>
  ({ optional: true, pattern: /^[^\0]{1,4096}$/, expects: `the path of ${what}` }) as const;

export const tlsSettings = {
  CAUDAL_TLS_CERTIFICATE: setting.string({
    description:
      'The PEM file of the certificate of both ports, followed by those that lead to its authority. With it they take TLS only. It is read again when it changes.',
    ...path('a PEM file with a certificate'),
  }),
  CAUDAL_TLS_KEY: setting.string({
    description: 'The PEM file of the key of that certificate, without a passphrase.',
    ...path('a PEM file with a private key'),
  }),
  CAUDAL_TLS_CA: setting.string({
    description:
      'The PEM file of the authorities of the certificates of other Caudal processes: as servers that this one calls, and as clients. Without it those that Node trusts.',
    ...path('a PEM file with certificates'),
  }),
  CAUDAL_TLS_SERVER_NAME: setting.string({
    description:
      'The name that the certificates of other Caudal processes must have, whatever their address is. Without it the name in CAUDAL_COMMAND_ADDRESS and CAUDAL_QUERY_ADDRESS.',
    optional: true,
    pattern: /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/,
    expects: 'a DNS name, such as caudal.shop.svc',
  }),
  CAUDAL_TLS_CLIENTS: setting.oneOf(['any', 'services'], {
    description:
      'Which calls need a client certificate from CAUDAL_TLS_CA with the name CAUDAL_TLS_SERVER_NAME: none ("any"), or those of services and of methods that only services may call.',
    default: 'any',
  }),
  CAUDAL_TLS_CALLS: setting.boolean({
    description: 'Whether this process calls other Caudal processes over TLS. If not set: if it has a certificate.',
    optional: true,
  }),
  CAUDAL_TLS_PLAINTEXT: setting.boolean({
    description: 'Whether ports with a certificate take plain connections, too: for the rollout that turns TLS on.',
    default: 'false',
  }),
  CAUDAL_TLS_REQUIRED: setting.boolean({
    description:
      'Whether this process refuses to start while a store, or another service that it calls on another machine, has a URL without TLS.',
    default: 'false',
  }),
  CAUDAL_TRUSTED_CA: setting.string({
    description:
      'A PEM file of authorities that are trusted beside those built into Node: of stores, the issuer, the mail server and whatever else is called. It is read again when it changes.',
    ...path('a PEM file with certificates'),
  }),
  CAUDAL_HSTS: setting.duration({
    description:
      'For how long a browser that came by HTTPS comes back by HTTPS only (Strict-Transport-Security). 0s lets it forget that. Browsers keep it for the whole host name; localhost is left out.',
    default: '365d',
    min: 0,
    max: 730 * 86_400_000,
  }),
  CAUDAL_DOCS: setting.boolean({
    description: 'Whether REST serves /, /docs and /openapi.json, which need no token.',
    default: 'true',
  }),
} satisfies Settings;

export type TlsValues = Values<typeof tlsSettings>;
