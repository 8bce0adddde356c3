/** How values are encoded for the shared cache. */

export interface CacheCodec<V> {
  encode(value: V): Uint8Array;
  /** May throw on bytes of another shape; then the entry counts as not found. */
  decode(data: Uint8Array): V;
}

/** Values as JSON, with the functions of a view's codec. */
export function jsonCodec<V>(codec: { toJSON(value: V): unknown; fromJSON(json: unknown): V }): CacheCodec<V> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(codec.toJSON(value))),
    decode: (data) => codec.fromJSON(JSON.parse(Buffer.from(data).toString())),
  };
}
