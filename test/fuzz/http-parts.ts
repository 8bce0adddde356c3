/** A request over HTTP/1.1 in parts, and changes to them that leave the rest as it is. */

export interface Parts {
  method: string;
  target: string;
  version: string;
  /** In this order, with whatever is not right about them. */
  headers: readonly (readonly [string, string])[];
  body: Uint8Array;
  /** Sends the body in this form of chunks instead of as it is. */
  chunks?: (body: Uint8Array) => Uint8Array;
  /** Between the lines of the head. */
  newline: string;
  /** Whether it may seem to be cut off. */
  unfinished: boolean;
}

export type Oddity = (parts: Parts) => Parts;

export const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

/** Without the headers of these names in small letters. */
export const without =
  (...names: string[]): Oddity =>
  (parts) => ({ ...parts, headers: parts.headers.filter(([name]) => !names.includes(name.toLowerCase())) });

/** With these headers besides the others. */
export const add =
  (...headers: [string, string][]): Oddity =>
  (parts) => ({ ...parts, headers: [...parts.headers, ...headers] });

/** With this header instead of others of its name. */
export const set =
  (header: [string, string]): Oddity =>
  (parts) =>
    add(header)(without(header[0].toLowerCase())(parts));

/** The same, of requests that may seem to be cut off then. */
export const unfinished = (oddities: Oddity[]): Oddity[] =>
  oddities.map((change) => (parts) => ({ ...change(parts), unfinished: true }));

/** With its body in chunks. */
export const chunked =
  (chunks: (body: Uint8Array) => Uint8Array): Oddity =>
  (parts) => ({ ...set(['Transfer-Encoding', 'chunked'])(without('content-length')(parts)), chunks });

/** One chunk. `size`: what it says of itself. */
export const chunkOf = (body: Uint8Array, size = body.length.toString(16)): Buffer =>
  Buffer.concat([bytes(`${size}\r\n`), body, bytes('\r\n')]);

export const endOfChunks: Buffer = bytes('0\r\n\r\n');
