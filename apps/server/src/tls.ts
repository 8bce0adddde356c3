/** The TLS of a process, from its settings: of its ports, of its calls to other processes, and the authorities that it trusts. */
import { ConfigError } from '@caudal/config/config.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { type CallTls, callTls } from '@caudal/rpc/client/call-tls.ts';
import type { ServerTls } from '@caudal/rpc/server/tls.ts';
import { TlsFileError, type TlsFiles } from '@caudal/tls/read-set.ts';
import { openTlsSource, type TlsSource } from '@caudal/tls/tls-source.ts';
import { trustAuthorities } from '@caudal/tls/trust.ts';
import { callsOverTls } from './settings/tls-checks.ts';
import type { TlsValues } from './settings/tls-settings.ts';

export interface ProcessTls extends Running {
  /** Of both ports; undefined: they are plain. */
  ports: ServerTls | undefined;
  /** Of calls to other processes; undefined: they are plain. */
  calls: CallTls | undefined;
}

const none: ProcessTls = { ports: undefined, calls: undefined, stop: async () => {} };

/** Reads the files, and again when they change. Throws ConfigError if they can't be used. */
export async function openTls(values: TlsValues): Promise<ProcessTls> {
  const { CAUDAL_TLS_CERTIFICATE: certificate, CAUDAL_TLS_KEY: key, CAUDAL_TLS_CA: ca } = values;
  const { CAUDAL_TLS_SERVER_NAME: name, CAUDAL_TLS_CLIENTS: clients, CAUDAL_TLS_PLAINTEXT: plaintext } = values;
  const calls = callsOverTls(values);
  if (!certificate && !calls) return none;
  const source = await openTlsSource({ certificate, key, ca }, { purpose: 'ports' }).catch(
    naming({ certificate: 'CAUDAL_TLS_CERTIFICATE', key: 'CAUDAL_TLS_KEY', ca: 'CAUDAL_TLS_CA' }),
  );
  return {
    ports: certificate ? { source, plaintext, clientName: clients === 'services' ? name : undefined } : undefined,
    calls: calls ? callTls(source, name, trustedOf(values)) : undefined,
    stop: () => source.stop(),
  };
}

/**
 * Trusts the authorities of the settings, in the whole process and until it ends. To be called before anything connects. Throws
 * ConfigError if the file can't be used, or if servers are not verified although the settings demand it.
 */
export function trustConfigured(values: Pick<TlsValues, 'CAUDAL_TRUSTED_CA' | 'CAUDAL_TLS_REQUIRED'>): void {
  if (values.CAUDAL_TLS_REQUIRED && process.env.NODE_TLS_REJECT_UNAUTHORIZED === '0')
    throw new ConfigError([unverified]);
  trustedOf(values);
}

const unverified = {
  name: 'NODE_TLS_REJECT_UNAUTHORIZED',
  wrong: 'it is 0, so no server is verified, and CAUDAL_TLS_REQUIRED is true',
  fix: 'Unset it, and name the authorities of your servers in CAUDAL_TRUSTED_CA',
};

function trustedOf({ CAUDAL_TRUSTED_CA: file }: Pick<TlsValues, 'CAUDAL_TRUSTED_CA'>): TlsSource | undefined {
  if (!file) return undefined;
  try {
    return trustAuthorities(file);
  } catch (error) {
    return naming({ ca: 'CAUDAL_TRUSTED_CA' })(error);
  }
}

/** Throws an error of a file as a problem of its setting. */
function naming(settings: Partial<Record<keyof TlsFiles, string>>): (error: unknown) => never {
  return (error) => {
    const name = error instanceof TlsFileError && settings[error.kind];
    if (!name) throw error;
    const fix = 'Let it name a PEM file that this process may read';
    throw new ConfigError([{ name, wrong: (error as TlsFileError).wrong, fix }]);
  };
}
