/** Lines of a stream of bytes, of a bounded length each. */

export interface Line {
  /** The first is 1. */
  number: number;
  /** Absent if it is too long or not UTF-8; `problem` says which. */
  text?: string;
  problem?: string;
}

const newline = 0x0a;

/** Reads them one by one, with no more than a line and a chunk in memory. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  const lineOf = (): Line => {
    const line = { number, ...contentOf(parts, length, maxBytes) };
    parts = [];
    length = 0;
    number += 1;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      add(chunk.subarray(from, at));
      yield lineOf();
      from = at + 1;
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield lineOf();

  function add(part: Uint8Array): void {
    length += part.length;
    // What is too long is counted and not kept.
    if (length <= maxBytes) parts.push(part);
    else parts = [];
  }
}

function contentOf(parts: Uint8Array[], length: number, maxBytes: number): Pick<Line, 'text' | 'problem'> {
  if (length > maxBytes) return { problem: `It has ${length} bytes; a line may have ${maxBytes}.` };
  try {
    // A byte order mark, which the first line may have, is left out.
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)) };
  } catch {
    return { problem: 'It is not UTF-8.' };
  }
}
