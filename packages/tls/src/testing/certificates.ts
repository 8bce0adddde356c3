/** For tests: authorities and certificates, written in DER by hand, since Node makes none and not every machine has openssl. */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Made {
  certificate: string;
  key: string;
}

export interface Authority {
  /** Its own certificate, in PEM. */
  ca: string;
  /**
   * A certificate for these names (DNS names, IPv4 addresses, and URIs). `endsMs`: from now, an hour if absent. `alternatives`:
   * instead of the names, of which the first is the subject in any case.
   */
  make(names: string[], options?: { endsMs?: number; alternatives?: string[] }): Made;
}

const hour = 3_600_000;

function tlv(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content]);
  const size = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return tlv(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

const sequence = (...parts: Uint8Array[]) => tlv(0x30, ...parts);
const octets = (content: Uint8Array) => tlv(0x04, content);
const bits = (content: Uint8Array) => tlv(0x03, Buffer.from([0]), content);
const yes = tlv(0x01, Buffer.from([0xff]));
const name = (text: string) => sequence(tlv(0x31, sequence(oid('2.5.4.3'), tlv(0x0c, Buffer.from(text)))));
const time = (date: Date) => tlv(0x17, Buffer.from(`${date.toISOString().slice(2, 19).replace(/\D/g, '')}Z`));
const extension = (id: string, content: Uint8Array, isCritical = false) =>
  sequence(oid(id), ...(isCritical ? [yes] : []), octets(content));
const algorithm = sequence(oid('1.2.840.10045.4.3.2'));

interface Form {
  subject: string;
  issuer: string;
  of: KeyObject;
  signer: KeyObject;
  ends: Date;
  extensions: Buffer[];
}

function certify({ subject, issuer, of, signer, ends, extensions }: Form): string {
  const serial = randomBytes(12);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const begins = new Date(Math.min(Date.now(), ends.getTime()) - hour);
  const content = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    name(issuer),
    sequence(time(begins), time(ends)),
    name(subject),
    createPublicKey(of).export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  );
  const whole = sequence(content, algorithm, bits(sign('sha256', content, signer)));
  const lines = whole.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** An authority with a key of its own. */
export function makeAuthority(subject = 'An authority for tests'): Authority {
  const own = newKey();
  const ca = certify({
    ...{ subject, issuer: subject, of: own, signer: own, ends: new Date(Date.now() + 24 * hour) },
    extensions: [
      extension('2.5.29.19', sequence(yes), true),
      extension('2.5.29.15', tlv(0x03, Buffer.from([2, 0x04])), true),
    ],
  });
  return {
    ca,
    make(names, { endsMs = hour, alternatives: others = names } = {}) {
      const key = newKey();
      const alternatives = others.map((each) => {
        if (isIPv4(each)) return tlv(0x87, Buffer.from(each.split('.').map(Number)));
        return tlv(each.includes('://') ? 0x86 : 0x82, Buffer.from(each));
      });
      const certificate = certify({
        ...{ subject: names[0]!, issuer: subject, of: key, signer: own, ends: new Date(Date.now() + endsMs) },
        extensions: [
          extension('2.5.29.17', sequence(...alternatives)),
          extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))),
        ],
      });
      return { certificate, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
  };
}

/** A folder of a mounted Secret: its files are behind a symlink that is swapped when the Secret changes, as Kubernetes does. */
export interface Mounted {
  certificate: string;
  key: string;
  ca: string;
  /** Replaces all files at once. */
  swap(made: Made, ca: string): Promise<void>;
  remove(): void;
}

/** Mounts these files. */
export async function mount(made: Made, ca: string): Promise<Mounted> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-tls-'));
  let version = 0;
  const swap = async ({ certificate, key }: Made, authorities: string) => {
    version += 1;
    const data = `..data-${version}`;
    await mkdir(join(folder, data));
    writeFileSync(join(folder, data, 'tls.crt'), certificate);
    writeFileSync(join(folder, data, 'tls.key'), key);
    writeFileSync(join(folder, data, 'ca.crt'), authorities);
    symlinkSync(data, join(folder, '..next'));
    renameSync(join(folder, '..next'), join(folder, '..data'));
  };
  await swap(made, ca);
  for (const file of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(join('..data', file), join(folder, file));
  return {
    certificate: join(folder, 'tls.crt'),
    key: join(folder, 'tls.key'),
    ca: join(folder, 'ca.crt'),
    swap,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
