/** Components that run until they are stopped. */

/** A component that works in the background. */
export interface Running {
  /** Takes no new work, finishes the work in flight, and releases resources. Never throws; may be called twice. */
  stop(): Promise<void>;
}
