/** The answer of a command that nobody is answered for: a process writing its memory, or telling its own context. */
export const noReply = { encode: () => ({ finish: () => new Uint8Array() }), decode: () => undefined };
