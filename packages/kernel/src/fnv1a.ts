/** The 32-bit FNV-1a hash of a text's UTF-8 bytes. Recorded things rely on it: it must never change. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
