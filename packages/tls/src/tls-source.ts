/**
 * A certificate from files that are read again when they change. The files are polled: a watch of a file does not see
 * Kubernetes' swap of a symlink. See docs/tls.md.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';
import { checkSet, readFiles, type TlsFiles, type TlsSet } from './read-set.ts';

export interface TlsSource extends Running {
  /** The set in use. */
  current(): TlsSet;
  /** Calls back with each new set; returns how to end that. */
  onChange(listener: (set: TlsSet) => void): () => void;
  /** Reads the files now. Resolves when a set that fits together is in use, or the old one was kept. */
  look(): Promise<void>;
}

export interface TlsSourceOptions {
  /** For logs and metrics: `listeners`, `trusted`. */
  purpose: string;
  /** How often the files are read, in milliseconds; 10,000 if absent. */
  everyMs?: number;
}

const log = logger('tls');
const expiry = gauge(
  'tls_certificate_expiry_timestamp_seconds',
  'When the TLS certificate in use ends, as Unix time.',
  's',
);
const failures = counter('tls_reload_errors_total', 'Looks at TLS files that could not be used.');

/** Reads the files, and again every 10 s until it is stopped. Throws TlsFileError if they can't be used now. */
export async function openTlsSource(files: TlsFiles, options: TlsSourceOptions): Promise<TlsSource> {
  return watchTlsFiles(files, checkSet(files, await readFiles(files)), options);
}

/** The same, with what is in the files already. */
export function watchTlsFiles(files: TlsFiles, first: TlsSet, options: TlsSourceOptions): TlsSource {
  const { purpose, everyMs = 10_000 } = options;
  const listeners = new Set<(set: TlsSet) => void>();
  let set = first;
  let told: string | undefined;
  report(set, purpose);

  async function read(): Promise<void> {
    try {
      const found = await readFiles(files);
      if (isSame(set, found)) {
        told = undefined;
        return;
      }
      set = checkSet(files, found);
      told = undefined;
      report(set, purpose);
      log.info({ purpose, expires: set.expires }, 'the TLS files have changed, and the new ones are in use');
      for (const listener of listeners) listener(set);
    } catch (error) {
      failures.add(1, { purpose });
      const { message } = error as Error;
      // Each wrong set once, not at each look.
      if (message !== told) log.error({ purpose, err: error }, 'the TLS files have changed, but the old ones stay');
      told = message;
    }
  }

  let looking: Promise<void> | undefined;
  const look = () => {
    looking ??= read().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), everyMs).unref();

  return {
    current: () => set,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    look,
    async stop() {
      clearInterval(timer);
      listeners.clear();
      await looking;
    },
  };
}

const isSame = (one: TlsSet, other: TlsSet): boolean =>
  (['certificate', 'key', 'ca'] as const).every((kind) =>
    (one[kind] ?? Buffer.alloc(0)).equals(other[kind] ?? Buffer.alloc(0)),
  );

function report({ expires }: TlsSet, purpose: string): void {
  if (!expires) return;
  expiry.set(expires.getTime() / 1000, { purpose });
  if (expires.getTime() < Date.now()) log.error({ purpose, expires }, 'the TLS certificate has expired: replace it');
}
