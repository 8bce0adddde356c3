/** Splits the text of a search into words, in the same way for every store. */

const most = 16;

/** Lower case, letters and digits only; at most 16 words of 64 characters, which bounds the cost of a search. */
export function wordsOf(text: string): string[] {
  return [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])]
    .slice(0, most)
    .map((word) => word.slice(0, 64));
}
