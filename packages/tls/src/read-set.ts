/** Reads the files of a certificate, and checks them as a whole: a set that does not fit together is never used. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { access, open, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createSecureContext } from 'node:tls';

/** Paths of PEM files. A certificate and its key are given together. */
export interface TlsFiles {
  /** The certificate, followed by those that lead to its authority. */
  certificate?: string | undefined;
  key?: string | undefined;
  /** The authorities that certificates of the other side are checked with. */
  ca?: string | undefined;
}

/** What is in the files, as PEM. */
export interface TlsSet {
  certificate?: Buffer;
  key?: Buffer;
  ca?: Buffer;
  /** When the certificate ends; undefined if there is none. */
  expires?: Date;
}

/** A file can't be used. */
export class TlsFileError extends Error {
  override name = 'TlsFileError';
  readonly kind: keyof TlsFiles;
  /** The end of the sentence "NAME: ...". */
  readonly wrong: string;

  constructor(kind: keyof TlsFiles, path: string, wrong: string, cause?: unknown) {
    super(`${path} ${wrong}`, { cause });
    this.kind = kind;
    this.wrong = `${path} ${wrong}`;
  }
}

const maxBytes = 2 ** 20;
const maxCertificates = 1_000;
const pem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The bytes of the files that are named, unchecked. Throws TlsFileError. */
export async function readFiles(files: TlsFiles): Promise<TlsSet> {
  const folders = new Map<string, Promise<string>>();
  // All files of one folder through the symlink's present target: it may be swapped between two of them.
  const now = async (path: string) => {
    const folder = dirname(path);
    const target = folders.get(folder) ?? realpath(join(folder, '..data')).catch(() => folder);
    folders.set(folder, target);
    const there = join(await target, basename(path));
    return access(there).then(
      () => there,
      () => path,
    );
  };
  const [certificate, key, ca] = await Promise.all(
    (['certificate', 'key', 'ca'] as const).map(async (kind) => {
      const path = files[kind];
      return path === undefined ? undefined : read(kind, path, await now(path));
    }),
  );
  return { ...(certificate && { certificate }), ...(key && { key }), ...(ca && { ca }) };
}

/** The set with the end of its certificate. Throws TlsFileError if it can't be used, or its parts do not fit together. */
export function checkSet(files: TlsFiles, { certificate, key, ca }: TlsSet): TlsSet {
  if (ca) certificatesIn('ca', files.ca!, ca);
  if (!certificate || !key) return { ...(ca && { ca }) };
  const chain = certificatesIn('certificate', files.certificate!, certificate);
  const [leaf] = chain;
  if (!leaf!.checkPrivateKey(privateKeyIn(files.key!, key)))
    throw new TlsFileError('key', files.key!, `is not the key of the certificate in ${files.certificate}`);
  try {
    createSecureContext({ cert: certificate, key, ca });
  } catch (error) {
    throw new TlsFileError('certificate', files.certificate!, `can't be used (${(error as Error).message})`, error);
  }
  // The chain ends with the first of its certificates.
  const expires = new Date(Math.min(...chain.map(({ validToDate }) => validToDate.getTime())));
  return { certificate, key, ...(ca && { ca }), expires };
}

async function read(kind: keyof TlsFiles, path: string, there: string): Promise<Buffer> {
  try {
    const file = await open(there);
    try {
      if ((await file.stat()).size > maxBytes) throw new TlsFileError(kind, path, 'is longer than 1 MiB');
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof TlsFileError) throw error;
    throw new TlsFileError(kind, path, `can't be read (${(error as NodeJS.ErrnoException).code})`, error);
  }
}

/** Each certificate of a PEM file, as PEM. */
export const certificatesOf = (content: Buffer): string[] => content.toString('latin1').match(pem) ?? [];

/** The certificates of a PEM file; at least one. */
function certificatesIn(kind: keyof TlsFiles, path: string, content: Buffer): X509Certificate[] {
  const found = certificatesOf(content);
  if (found.length === 0) throw new TlsFileError(kind, path, 'has no certificate in PEM');
  if (found.length > maxCertificates)
    throw new TlsFileError(kind, path, `has more than ${maxCertificates} certificates`);
  return found.map((text, index) => {
    try {
      return new X509Certificate(text);
    } catch (error) {
      throw new TlsFileError(kind, path, `has a certificate that can't be read, number ${index + 1}`, error);
    }
  });
}

function privateKeyIn(path: string, content: Buffer): KeyObject {
  try {
    return createPrivateKey(content);
  } catch (error) {
    const locked = /passphrase|interrupted or cancelled/i.test((error as Error).message);
    throw new TlsFileError('key', path, locked ? 'has a passphrase: store it without' : 'has no key in PEM', error);
  }
}
