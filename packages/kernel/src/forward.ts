/** How a command leaves its handler for the process that owns its stream: see docs/owners.md. */

/** A process as others reach it. */
export interface Instance {
  /** `host:port` of its gRPC port. */
  address: string;
  /** Made anew at each start. Only the process itself and those who read it in the database know it. */
  instance: string;
}

/** The way to the owner of a stream, as long as it is known. */
export interface Route extends Instance {
  readonly stream: string;
  /** The owner has answered a call, and owns the stream for this long; 0: not any more. */
  answered(ownedMs: number): void;
  /**
   * The owner is gone (it can't be reached any more, or hangs), or leaves (it stops). Resolves once it is known where the
   * stream's commands are decided next.
   */
  lost(how: 'gone' | 'leaving'): Promise<void>;
  /** The owner takes no calls of this process: commands are decided here for a while. */
  refused(): void;
}

/**
 * Thrown by a forwardable command in place of its result: nothing of it was done, and the stream's owner is to do it. It is
 * no error, and no client sees it: the pipeline of the call forwards the call.
 */
export class ForwardToOwner extends Error {
  readonly route: Route;

  constructor(route: Route) {
    super(`${route.stream} is owned by ${route.address}: the call has to be forwarded`);
    this.name = 'ForwardToOwner';
    this.route = route;
  }
}
