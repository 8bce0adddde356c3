/** A request over HTTP/1.1 in parts, and functions that change one part. */

export interface Parts {
  method: string;
  target: string;
  version: string;
  /** In this order, correct or not. */
  headers: readonly (readonly [string, string])[];
  body: Uint8Array;
  /** Encodes the body in chunks. */
  chunks?: (body: Uint8Array) => Uint8Array;
  /** The line break between the lines of the head. */
  newline: string;
  /** Whether a server may wait for the rest of it. */
  unfinished: boolean;
}

export type Oddity = (parts: Parts) => Parts;

export const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

/** Removes the headers with these names (in lower case). */
export const without =
  (...names: string[]): Oddity =>
  (parts) => ({ ...parts, headers: parts.headers.filter(([name]) => !names.includes(name.toLowerCase())) });

/** Adds these headers. */
export const add =
  (...headers: [string, string][]): Oddity =>
  (parts) => ({ ...parts, headers: [...parts.headers, ...headers] });

/** Replaces the headers of this name by this one. */
export const set =
  (header: [string, string]): Oddity =>
  (parts) =>
    add(header)(without(header[0].toLowerCase())(parts));

/** The same for requests after which a server may wait for more. */
export const unfinished = (oddities: Oddity[]): Oddity[] =>
  oddities.map((change) => (parts) => ({ ...change(parts), unfinished: true }));

/** With its body in chunks. */
export const chunked =
  (chunks: (body: Uint8Array) => Uint8Array): Oddity =>
  (parts) => ({ ...set(['Transfer-Encoding', 'chunked'])(without('content-length')(parts)), chunks });

/** One chunk. `size`: the size that it declares. */
export const chunkOf = (body: Uint8Array, size = body.length.toString(16)): Buffer =>
  Buffer.concat([bytes(`${size}\r\n`), body, bytes('\r\n')]);

export const endOfChunks: Buffer = bytes('0\r\n\r\n');
