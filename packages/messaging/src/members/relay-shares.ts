/**
 * Which process should relay which log: shares over all logs that have the same processes, so that these agree. A lease
 * says who may. See docs/parts.md, Relays.
 */
import type { Members } from './members.ts';
import { shareOut } from './shares.ts';

/** The turn of this process at a log. */
export interface RelayTurn {
  /** Whether this process should relay it; undefined if no process says that it can, or none is known yet. */
  isMine(): boolean | undefined;
  /** Notes that it could not relay the log, so that others come first for a while. */
  failed(): void;
}

export interface RelayShares {
  turnAt(domain: string): RelayTurn;
  stop(): void;
}

const work = 'relay';
/** How long others come first after a failure. */
const failedMs = 30_000;

/** Joins the processes that relay these logs. By domain: the members of the log's context. */
export function openRelayShares(membersOf: ReadonlyMap<string, Members>): RelayShares {
  const leaves = new Map<string, () => void>();
  const timers = new Map<string, NodeJS.Timeout>();
  let firsts = new Map<string, string>();
  let known = '';

  function read(): void {
    const groups = Map.groupBy(membersOf, ([, members]) =>
      members
        .all()
        .filter(({ runs }) => runs.includes(work))
        .map(({ process }) => process)
        .sort()
        .join('\n'),
    );
    const seen = JSON.stringify([...groups].map(([key, logs]) => [key, logs.map(([domain]) => domain)]));
    if (seen === known) return;
    known = seen;
    firsts = new Map();
    for (const [key, logs] of groups) {
      if (key === '') continue;
      const shares = shareOut(
        logs.map(([domain]) => domain),
        key.split('\n'),
      );
      for (const [domain, { first }] of shares) firsts.set(domain, first);
    }
  }

  function join(domain: string): void {
    leaves.set(domain, membersOf.get(domain)!.join(work));
  }

  for (const domain of membersOf.keys()) join(domain);
  const ends = [...membersOf.values()].map((members) => members.onSeen(read));

  return {
    turnAt: (domain) => ({
      isMine() {
        const first = firsts.get(domain);
        return first === undefined ? undefined : first === membersOf.get(domain)!.process;
      },
      failed() {
        if (timers.has(domain)) return;
        leaves.get(domain)?.();
        leaves.delete(domain);
        const back = () => {
          timers.delete(domain);
          join(domain);
        };
        timers.set(domain, setTimeout(back, failedMs).unref());
      },
    }),
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      for (const end of [...ends, ...leaves.values()]) end();
    },
  };
}
