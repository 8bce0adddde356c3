/**
 * Authorities that are trusted beside those built into Node, by every TLS client of the process: the drivers of stores take
 * Node's default, and none of them reads a file again when it changes.
 */
import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { certificatesOf, checkSet, TlsFileError, type TlsSet } from './read-set.ts';
import { type TlsSource, watchTlsFiles } from './tls-source.ts';

let trusted: { file: string; source: TlsSource } | undefined;

/**
 * Trusts the certificates of a PEM file, and what the file holds after a change. The process keeps to the first file that it
 * is given. Throws TlsFileError if it can't be used. Returns the source, for tests.
 */
export function trustAuthorities(file: string): TlsSource {
  if (trusted?.file === file) return trusted.source;
  if (trusted)
    throw new Error(`This process trusts the authorities of ${trusted.file} already, and can't change to ${file}.`);
  // Those of Node, and of NODE_EXTRA_CA_CERTS.
  const before = getCACertificates('default');
  const trust = ({ ca }: TlsSet) => setDefaultCACertificates([...before, ...certificatesOf(ca!)]);
  // Read at once and not in the background: the first connection may follow.
  const first = checkSet({ ca: file }, { ca: readNow(file) });
  trust(first);
  const source = watchTlsFiles({ ca: file }, first, { purpose: 'trusted' });
  source.onChange(trust);
  trusted = { file, source };
  return source;
}

function readNow(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new TlsFileError('ca', file, `can't be read (${(error as NodeJS.ErrnoException).code})`, error);
  }
}
