/**
 * Seals values for Redis, so that who reads it sees none, and who writes to it can't show a caller another's: AES-256-GCM, bound to
 * the cache, the key, and the header with version and time. The key follows from those of tokens (docs/ids.md, Keys).
 *
 *   header | 4 bytes: which key | 12 bytes: nonce | sealed data | 16 bytes: tag
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { openingKey, sealingKey } from '@caudal/kernel/sealed-token.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const log = logger('cache');
const refused = counter(
  'cache_entries_refused_total',
  'Entries of Redis that were not used, by reason: forged, or foreign (of a key or a version that this process does not know).',
);

/** An entry that is longer is neither stored nor used. */
export const maxEntryBytes = 8 * 1024 * 1024;

/** Which entry it is. */
export interface Place {
  namespace: string;
  key: string;
}

/** `header`: version and time, which Redis itself reads. */
type Sealed = Place & { header: string };

const use = 'cache';
const algorithm = 'aes-256-gcm';
const [markBytes, nonceBytes, tagBytes] = [4, 12, 16];
const warnEveryMs = 60_000;
let warnedAt = Number.NEGATIVE_INFINITY;

/** Of this process, then a count: so no nonce is used twice, of however many processes. */
let nonces = { prefix: randomBytes(8), count: 0 };

function nextNonce(): Buffer {
  if (nonces.count === 0xffffffff) nonces = { prefix: randomBytes(8), count: 0 };
  const nonce = Buffer.allocUnsafe(nonceBytes);
  nonces.prefix.copy(nonce);
  nonce.writeUInt32BE(nonces.count++, 8);
  return nonce;
}

/** Each part with its length: two places never give the same bytes. */
const boundTo = ({ namespace, key, header }: Sealed) => Buffer.from(JSON.stringify([namespace, key, header]));

/** The entry: the header, and the sealed data. */
export function sealValue(of: Sealed, data: Uint8Array): Buffer {
  const { mark, key } = sealingKey(use);
  const nonce = nextNonce();
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(boundTo(of));
  const parts = [cipher.update(data), cipher.final()];
  return Buffer.concat([Buffer.from(of.header), mark, nonce, ...parts, cipher.getAuthTag()]);
}

/** The data of an entry that begins with the header; undefined if it was not sealed for this place. */
export function openValue(of: Sealed, entry: Buffer): Buffer | undefined {
  const sealed = entry.subarray(of.header.length);
  const key = sealed.length >= markBytes + nonceBytes + tagBytes && openingKey(use, sealed.subarray(0, markBytes));
  if (!key) return refuse(of, 'foreign');
  const data = sealed.subarray(markBytes + nonceBytes, sealed.length - tagBytes);
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(markBytes, markBytes + nonceBytes))
    .setAAD(boundTo(of))
    .setAuthTag(sealed.subarray(sealed.length - tagBytes));
  try {
    const opened = decipher.update(data);
    decipher.final();
    return opened;
  } catch {
    return refuse(of, 'forged');
  }
}

function refuse({ namespace }: Place, reason: 'forged' | 'foreign'): undefined {
  refused.add(1, { cache: namespace, reason });
  const now = performance.now();
  if (reason === 'foreign' || now - warnedAt < warnEveryMs) return undefined;
  warnedAt = now;
  log.warn(
    { cache: namespace },
    'an entry in Redis was not sealed for its place: somebody else writes to Redis; it is read from the store',
  );
  return undefined;
}

/** One message of invalidations has as many as one call. */
const maxInvalidations = 1_000;

/** The list that a message on a channel has. Anybody who may write to Redis can send one: what is no list is empty. */
function listOf(message: string): unknown[] {
  try {
    const list: unknown = JSON.parse(message);
    return Array.isArray(list) && list.length <= maxInvalidations ? list : [];
  } catch {
    return [];
  }
}

/** The invalidations that a message has. Anything else in it is passed over. */
export function readInvalidations(message: string): [key: string, version: number][] {
  return listOf(message).filter(
    (one): one is [string, number] =>
      Array.isArray(one) && typeof one[0] === 'string' && Number.isSafeInteger(one[1]) && one[1] >= 0,
  );
}

/** The tags that a message says were dropped. Anything else in it is passed over. */
export function readDroppedTags(message: string): string[] {
  return listOf(message).filter((one) => typeof one === 'string');
}
