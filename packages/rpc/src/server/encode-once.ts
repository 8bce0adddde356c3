/**
 * An encoder that encodes an answer once if its handler has it from memory (`call.remembered`) and gives the same object again: what is
 * remembered never changes. The encoded form lives as long as the object.
 */
export function encodeOnce<Encoded>(): (response: object, isRemembered: boolean, encode: () => Encoded) => Encoded {
  const known = new WeakMap<object, Encoded>();
  return (response, isRemembered, encode) => {
    const before = isRemembered ? known.get(response) : undefined;
    if (before !== undefined) return before;
    const encoded = encode();
    if (isRemembered) known.set(response, encoded);
    return encoded;
  };
}
