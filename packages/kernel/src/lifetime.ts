/** Things that run until they are told to stop. */

/** A component that does something in the background. */
export interface Running {
  /** Stops taking new work, finishes what is in flight, lets go of resources. Never throws; may be called twice. */
  stop(): Promise<void>;
}
