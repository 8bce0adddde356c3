/** TLS of calls to other processes: credentials that follow the files of a source, for each new connection. */
import { getCACertificates, type PeerCertificate } from 'node:tls';
import { hasName } from '@caudal/tls/has-name.ts';
import type { TlsSource } from '@caudal/tls/tls-source.ts';
import { type ChannelCredentials, credentials, experimental } from '@grpc/grpc-js';

export interface CallTls {
  credentials: ChannelCredentials;
  /** The name that certificates of servers must have; that of the address if undefined. */
  serverName?: string | undefined;
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

/**
 * The TLS of calls with the certificate of a source, if it has one, to servers with a certificate from its authorities;
 * those that Node trusts if it has none, which may follow the source `trusted`.
 */
export function callTls(source: TlsSource, serverName?: string, trusted?: TlsSource): CallTls {
  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  const authorities = () => ({
    caCertificate: source.current().ca ?? Buffer.from(getCACertificates('default').join('\n')),
  });
  const identity = () => {
    const { certificate, key } = source.current();
    return { certificate: certificate!, privateKey: key! };
  };
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener(listener) {
      caListeners.add(listener);
      listener(authorities());
    },
    removeCaCertificateListener: (listener) => void caListeners.delete(listener),
    addIdentityCertificateListener(listener) {
      identityListeners.add(listener);
      listener(identity());
    },
    removeIdentityCertificateListener: (listener) => void identityListeners.delete(listener),
  };
  const tellAuthorities = () => {
    for (const listener of caListeners) listener(authorities());
  };
  trusted?.onChange(tellAuthorities);
  source.onChange(({ certificate }) => {
    tellAuthorities();
    if (certificate) for (const listener of identityListeners) listener(identity());
  });
  const own = source.current().certificate ? provider : null;
  const checkServerIdentity = (_: string, certificate: PeerCertificate): Error | undefined =>
    hasName(certificate, serverName!)
      ? undefined
      : new Error(`The certificate of the server has not the name ${serverName}`);
  const verify = serverName ? { checkServerIdentity } : {};
  return { credentials: experimental.createCertificateProviderChannelCredentials(provider, own, verify), serverName };
}

/** The credentials of a channel, and its options for them. */
export function channelTls(tls: CallTls | undefined) {
  if (!tls) return { credentials: credentials.createInsecure(), options: {} };
  const { credentials: of, serverName } = tls;
  return { credentials: of, options: serverName ? { 'grpc.ssl_target_name_override': serverName } : {} };
}
