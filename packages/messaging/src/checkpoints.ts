/** The names of a handler's checkpoints: durable, so they stay as they are. */

/** How far the log feed has delivered a domain's events to the handler, where there is no broker. */
export function feedCheckpoint(handler: string, domain: string): string {
  return `feed:${handler}:${domain}`;
}

/** How far the reconciliation (the sweep) has compared the handler with a domain's log. */
export function sweepCheckpoint(handler: string, domain: string): string {
  return `sweep:${handler}:${domain}`;
}
