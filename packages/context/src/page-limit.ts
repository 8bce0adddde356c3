/** The size of a page. A request for more than `most` is no error: it gets `most` entries, and a token (AIP-158). */
const usual = 20;
const most = 100;

/** The size of the page for a request's `page_size`. */
export function pageLimit(pageSize: number): number {
  return Math.min(pageSize || usual, most);
}
