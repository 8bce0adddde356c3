/** The answer of an internal command that is one word. */
export const textReply = {
  encode: (reply: string) => ({ finish: () => Buffer.from(reply) }),
  decode: (data: Uint8Array) => Buffer.from(data).toString(),
};
