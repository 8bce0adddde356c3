/** The settings of how many servers have a write of a view before it counts as done. */

/** MongoDB's `w`. 0 is refused: the server would not even say whether a write failed. */
export function parseWriteConcern(text: string): number | string {
  if (/^[1-9]$|^[1-4]\d$|^50$/.test(text)) return Number(text);
  if (/^[A-Za-z][\w-]{0,99}$/.test(text)) return text;
  throw new Error(`"${text}" is no write concern`);
}

/** Elasticsearch's `wait_for_active_shards`. */
export function parseActiveShards(text: string): number | 'all' {
  if (text === 'all') return 'all';
  if (/^[1-9]$|^1\d$|^20$/.test(text)) return Number(text);
  throw new Error(`"${text}" is no number of copies`);
}
