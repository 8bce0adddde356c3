/** The names of a handler's checkpoints. They are stored in databases, so they must not change. */

/** From where on a saga reacts to a domain's events: those up to there count as seen. */
export function startCheckpoint(handler: string, domain: string): string {
  return `start:${handler}:${domain}`;
}

/** How far the log feed has delivered a domain's events to the handler. */
export function feedCheckpoint(handler: string, domain: string): string {
  return `feed:${handler}:${domain}`;
}

/** How far reconciliation (once called sweep) has compared the handler with a domain's log. */
export function sweepCheckpoint(handler: string, domain: string): string {
  return `sweep:${handler}:${domain}`;
}
