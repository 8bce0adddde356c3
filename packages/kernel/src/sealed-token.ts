/**
 * Tokens that callers get, keep and send back, and can neither read nor make: AES-256-GCM. The token's use is additional data, so a
 * token of one use can't be opened as one of another. See docs/ids.md, Sealed tokens.
 *
 *   4 bytes: which key | 2 bytes: day of sealing | 12 bytes: nonce | content | 16 bytes: tag
 *
 * The nonce is a keyed hash of use and content: so the same content gives the same token on a day, as a repeated command must answer,
 * and other content another nonce. One key may seal 2^32 tokens with nonces that look random (NIST SP 800-38D, 8.3), so each day has a
 * key of its own, derived from the installation's.
 */
import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** What a token is for. */
export type TokenUse = 'consistency' | 'page';

export interface TokenKey {
  /** The key's name in the setting. */
  id: string;
  /** 32 bytes. */
  key: Buffer;
}

export type TokenKeys = [TokenKey, ...TokenKey[]];

const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const markBytes = 4;
const dayBytes = 2;
const nonceBytes = 12;
const tagBytes = 16;
const headBytes = markBytes + dayBytes + nonceBytes;
const dayMs = 86_400_000;
/** Keys of days that are remembered for one key: tokens are seldom older than a day. */
const daysKept = 4;

/** A key of the installation, and what is derived from it. */
interface Ring {
  mark: Buffer;
  nonceKey: string;
  digestKey: Buffer;
  ofDay(day: number): Buffer;
}

let rings: [Ring, ...Ring[]] | undefined;

/**
 * Sets the keys of the whole process: the first one seals, all of them open. Without keys, the process makes one for itself: no
 * other process opens its tokens.
 */
export function setTokenKeys(keys: TokenKeys | undefined): void {
  rings = keys && (keys.map(({ key }) => ringOf(key)) as [Ring, ...Ring[]]);
}

function current(): [Ring, ...Ring[]] {
  rings ??= [ringOf(randomBytes(keyBytes))];
  return rings;
}

function ringOf(key: Buffer): Ring {
  const derived = (name: string) => createHmac('sha256', key).update(`caudal token ${name}`).digest();
  const days = new Map<number, Buffer>();
  return {
    mark: derived('mark').subarray(0, markBytes),
    nonceKey: derived('nonce').toString('hex'),
    digestKey: derived('digest'),
    ofDay(day) {
      let known = days.get(day);
      if (!known) {
        known = derived(`day ${day}`);
        for (const oldest of days.keys()) if (days.size >= daysKept) days.delete(oldest);
        days.set(day, known);
      }
      return known;
    },
  };
}

/** The token of this content, in base64url. `now`: in milliseconds since 1970. */
export function sealToken(use: TokenUse, content: string, now = Date.now()): string {
  const [ring] = current();
  const day = Math.floor(now / dayMs) & 0xffff;
  const head = Buffer.allocUnsafe(headBytes);
  ring.mark.copy(head);
  head.writeUInt16BE(day, markBytes);
  // A hash in one call takes a tenth of an HMAC's time. Only a part of it is shown, so it can't be extended.
  const nonce = hash('sha256', `${ring.nonceKey} ${use} ${content}`, 'buffer').subarray(0, nonceBytes);
  nonce.copy(head, markBytes + dayBytes);
  const cipher = createCipheriv(algorithm, ring.ofDay(day), nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(use));
  const sealed = cipher.update(content, 'utf8');
  cipher.final();
  return Buffer.concat([head, sealed, cipher.getAuthTag()]).toString('base64url');
}

/** The content of a token; undefined if it was not sealed for this use with one of the keys. */
export function openToken(use: TokenUse, token: string): string | undefined {
  if (!/^[\w-]+$/.test(token)) return undefined;
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length < headBytes + tagBytes) return undefined;
  const mark = bytes.subarray(0, markBytes);
  const ring = current().find((one) => timingSafeEqual(one.mark, mark));
  if (!ring) return undefined;
  // Several texts of base64 stand for the same bytes. Only the one that was made is a token.
  if (bytes.toString('base64url') !== token) return undefined;
  const nonce = bytes.subarray(markBytes + dayBytes, headBytes);
  const key = ring.ofDay(bytes.readUInt16BE(markBytes));
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(use));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  try {
    const content = decipher.update(bytes.subarray(headBytes, bytes.length - tagBytes));
    return Buffer.concat([content, decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

/** A digest that only this installation can make: equal texts have equal digests, and none can be tried out. 8 characters. */
export function keyedDigest(text: string): string {
  return createHmac('sha256', current()[0].digestKey).update(text).digest('base64url').slice(0, 8);
}

/**
 * Parses the keys of a setting: `<id>:<base64 of 32 bytes>`, separated by commas, the current one first. Throws an Error that
 * names the fault and contains no key.
 */
export function parseTokenKeys(text: string): TokenKeys {
  const keys = text.split(',').map((part, index): TokenKey => {
    const [, id, encoded] = /^\s*([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_-]+={0,2})\s*$/.exec(part) ?? [];
    if (!id || !encoded) throw new Error(`key ${index + 1} is not written as <id>:<base64>`);
    const key = Buffer.from(encoded, 'base64');
    if (key.length !== keyBytes) throw new Error(`key "${id}" has ${key.length} bytes instead of ${keyBytes}`);
    return { id, key };
  });
  keys.forEach(({ id, key }, index) => {
    const other = keys.slice(0, index).find((before) => before.id === id || before.key.equals(key));
    if (other)
      throw new Error(other.id === id ? `key "${id}" is given twice` : `"${other.id}" and "${id}" are one key`);
  });
  return keys as TokenKeys;
}
