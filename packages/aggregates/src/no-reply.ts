/** The codec of commands without an answer: a saga that records its state, or that informs its own context. */
export const noReply = { encode: () => ({ finish: () => new Uint8Array() }), decode: () => undefined };
