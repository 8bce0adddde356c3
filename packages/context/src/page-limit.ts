/** How many a page of a list holds. More than the most is no error: the caller gets the most, and a token (AIP-158). */
const usual = 20;
const most = 100;

/** The size of the page for a request's `page_size`. */
export function pageLimit(pageSize: number): number {
  return Math.min(pageSize || usual, most);
}
