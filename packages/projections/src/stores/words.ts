/** The words of a search, cut the same way for every store. */

const most = 16;

/** Lower case, letters and digits only; at most 16 words, so that no search is more work than another. */
export function wordsOf(text: string): string[] {
  return [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])]
    .slice(0, most)
    .map((word) => word.slice(0, 64));
}
