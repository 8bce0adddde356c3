/** How often things were looked at, about: counts that a process gathers and writes later. docs/caching.md, Strategies. */
export interface Interest {
  /** Counts that it was looked at. Never waits, never fails. */
  saw(id: string): void;
  /** How often it was looked at within a day, of all processes as far as they have told. */
  of(id: string): Promise<number>;
}
