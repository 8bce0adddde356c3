/** The names of checkpoints, of handlers and of relays. They are stored in databases, so they must not change. */

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

/** For which epoch of a log a projection's views, or a saga's cursors, have been searched for lost events, as its position: no progress. */
export function lossesCheckpoint(handler: string, domain: string): string {
  return `losses:${handler}:${domain}`;
}

/** The epoch of the last relay that has sent slots, as its position: no progress. */
export const slotsCheckpoint = 'relay:slots';

/** Up to where the exchange has got everything, while it is bypassed; absent otherwise. */
export const exchangeCheckpoint = 'relay:exchange';

/** Up to where a saga's handler has seen all of a domain's log, also streams of which it keeps no cursor. */
export function floorCheckpoint(handler: string, domain: string): string {
  return `floor:${handler}:${domain}`;
}

/** Where the floor moves next, once the event there is old enough. */
export function nextFloorCheckpoint(handler: string, domain: string): string {
  return `next-floor:${handler}:${domain}`;
}

/** The checkpoints that follow from how far the handler has settled a domain's log. Only sagas have them. */
export function floorsOf(handler: string, domain: string): string[] {
  return [floorCheckpoint(handler, domain), nextFloorCheckpoint(handler, domain), startCheckpoint(handler, domain)];
}
