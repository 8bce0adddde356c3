/** The id of a copy: a UUIDv7, of which the server reads when the copy was begun. */

/** `randomUUID` exists on https pages only; this works on all. `nowMs`: by the server's clock, as far as it is known. */
export function newDeviceId(nowMs: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  bytes[0] = (bytes[0]! & 0x0f) | 0x70;
  bytes[2] = (bytes[2]! & 0x3f) | 0x80;
  // A page's clock may have fractions.
  const time = Math.floor(nowMs).toString(16).padStart(12, '0');
  const hex = time + Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
