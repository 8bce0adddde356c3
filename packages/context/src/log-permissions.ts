/** The permissions of a context that follows events of other contexts, for its `permissions`. */

/**
 * To read the logs of these domains, and to register queues that follow them. A test compares them with what the context's
 * projections and sagas follow.
 */
export function logPermissions(...domains: string[]): string[] {
  return domains.flatMap((domain) => [`log.events.read:${domain}`, `log.events.follow:${domain}`]);
}
