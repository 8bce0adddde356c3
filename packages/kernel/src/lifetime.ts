/** Components that run until they are stopped. */

/** A component that works in the background. */
export interface Running {
  /** Stops taking new work, finishes what is in flight, releases resources. Never throws; may be called twice. */
  stop(): Promise<void>;
}
