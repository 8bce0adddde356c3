/** How values are written down for the shared cache. */

export interface CacheCodec<V> {
  encode(value: V): Uint8Array;
  /** May throw on bytes of another shape: that counts as nothing found. */
  decode(data: Uint8Array): V;
}

/** Values as JSON, by functions such as a view's codec. */
export function jsonCodec<V>(codec: { toJSON(value: V): unknown; fromJSON(json: unknown): V }): CacheCodec<V> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(codec.toJSON(value))),
    decode: (data) => codec.fromJSON(JSON.parse(Buffer.from(data).toString())),
  };
}
