/** The events that a rebuild can't handle. The streams of these events are left out from there on. */
import { domainOf } from '@caudal/contract/entity.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Failed } from '@caudal/messaging/types.ts';

export interface FailedEvent {
  stream: string;
  version: number;
  error: unknown;
}

/** The same as it is saved. */
export interface FailedStream {
  stream: string;
  version: number;
  position: number;
  error: string;
}

export interface Failures {
  /** The first 1,000. */
  readonly listed: FailedEvent[];
  count(): number;
  /** Whether the stream is left out. */
  holds(stream: string): boolean;
  /** Whether more streams have failed than can be remembered. */
  isFull(): boolean;
  /** By domain: the last position before the first event that failed. */
  readonly before: ReadonlyMap<string, number>;
  /**
   * Notes that an event can't be handled; `held`: its stream is left out. REBUILD_FAILED_EVENTS if there are more than
   * 1,000, unless they are accepted.
   */
  note(failed: Failed, held: boolean): void;
  /** Restores what an earlier builder has noted. */
  restore(saved: { before: ReadonlyMap<string, number>; count: number; streams: FailedStream[] }): void;
  /** The stream is not left out any more: its event is judged again. */
  forget(stream: string): void;
  /** The streams that are to be saved: what failed there, or undefined if it did not after all. */
  changes(): Map<string, FailedStream | undefined>;
  /** These changes are saved. */
  saved(changes: Map<string, FailedStream | undefined>): void;
}

const listedAtMost = 1_000;
/** How many failed streams are remembered and left out: a projection that fails everywhere must not fill the memory. */
export const heldAtMost = 100_000;

/** `accept`: continue however many events can't be handled. */
export function openFailures({ accept }: { accept: boolean }): Failures {
  const listed: FailedEvent[] = [];
  const before = new Map<string, number>();
  const held = new Set<string>();
  const changed = new Map<string, FailedStream | undefined>();
  let count = 0;

  return {
    listed,
    before,
    count: () => count,
    holds: (stream) => held.has(stream),
    isFull: () => held.size === heldAtMost,
    note({ event: { stream, version, position }, error }, isHeld) {
      if (isHeld && held.size < heldAtMost) held.add(stream);
      if (isHeld ? held.has(stream) : changed.size < heldAtMost)
        changed.set(stream, { stream, version, position, error: String(error) });
      if (isHeld) {
        const domain = domainOf(stream);
        before.set(domain, Math.min(before.get(domain) ?? Infinity, position - 1));
      }
      count += 1;
      if (listed.length < listedAtMost) listed.push({ stream, version, error });
      else if (!accept) throw failedEvents({ listed, count });
    },
    restore(saved) {
      for (const [domain, position] of saved.before) before.set(domain, position);
      count = saved.count;
      for (const { stream, version, error } of saved.streams) {
        held.add(stream);
        if (listed.length < listedAtMost) listed.push({ stream, version, error });
      }
    },
    forget(stream) {
      if (!held.delete(stream)) return;
      const place = listed.findIndex((one) => one.stream === stream);
      if (place >= 0) listed.splice(place, 1);
      changed.set(stream, undefined);
      count -= 1;
    },
    changes: () => new Map(changed),
    saved(changes) {
      for (const [stream, value] of changes) if (changed.get(stream) === value) changed.delete(stream);
    },
  };
}

export function failedEvents({ listed, count }: { listed: FailedEvent[]; count: number }): CaudalError {
  const { stream, version, error } = listed[0]!;
  return new CaudalError(
    'FAILED_PRECONDITION',
    'REBUILD_FAILED_EVENTS',
    `${count} events can't be handled; the first is version ${version} of ${stream}: ${error}`,
    { cause: error, metadata: { stream, version: String(version) } },
  );
}
