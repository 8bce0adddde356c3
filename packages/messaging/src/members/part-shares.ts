/** The parts of a handler that this process should consume, by the rows of `members`. See docs/parts.md. */
import type { Member, Members } from './members.ts';
import { type Share, shareOut } from './shares.ts';

export interface PartShares {
  /** What this process is to a part; undefined: nothing. */
  role(part: number): 'first' | 'second' | undefined;
  /** Of how many parts it is first. */
  held(): number;
  /** Whether the process that is first of a part was seen lately. */
  isFirstThere(part: number): boolean;
  /** The parts whose first process is frozen, and which would fall to this one. */
  orphaned(): number[];
  /** Whether, in the last 10 s, a process was seen that divides the handler into another number of parts. */
  isMixed(): boolean;
  /** Says whether this process can do its share: others then come first, unless none can. */
  setAble(able: boolean): void;
  /** Calls back when any of this may have changed. Returns the end of that. */
  onChange(listener: () => void): () => void;
  /** Takes part no more. */
  leave(): void;
}

/** A process that was not seen for so long is frozen, or dead. */
const frozenMs = 3_000;
/** After this long the broker has found out, and has given its parts to others. */
const gaveUpMs = 30_000;
/** Longer than a process that comes or goes takes to be seen. */
const mixedMs = 10_000;

/** Of the only process that runs the handler. */
export function soleShares(parts: number): PartShares {
  return {
    role: () => 'first',
    held: () => parts,
    isFirstThere: () => true,
    orphaned: () => [],
    isMixed: () => false,
    setAble() {},
    onChange: () => () => {},
    leave() {},
  };
}

/** Joins the processes that run a handler with this number of parts. */
export function openPartShares(options: { members: Members; handler: string; parts: number }): PartShares {
  const { members, handler, parts } = options;
  // Shares are computed among the processes that know the same number of parts.
  const work = `${handler}/${parts}`;
  const unable = `${work}!`;
  const pieces = Array.from({ length: parts }, (_, part) => `${handler}.p${part}`);
  const pieceOf = (part: number) => pieces[part]!;
  const listeners = new Set<() => void>();
  /** Since when each was seen to be frozen, by performance.now(). */
  const frozen = new Map<string, number>();
  let shares = new Map<string, Share>();
  let sharers = '';
  let there = new Set<string>();
  let orphans: number[] = [];
  let mixedAt = performance.now();

  const names = (list: Member[]) => list.map(({ process }) => process);
  /** Those that can do the work; if none can, all. */
  const candidates = (list: Member[]) => {
    const able = list.filter(({ runs }) => runs.includes(work));
    return names(able.length > 0 ? able : list);
  };

  function read(): void {
    const all = members.all();
    const ours = all.filter(({ runs }) => runs.includes(work) || runs.includes(unable));
    const alive = ours.filter(({ ageMs }) => ageMs <= frozenMs);
    const now = performance.now();
    for (const { process, ageMs } of ours) {
      if (ageMs <= frozenMs) frozen.delete(process);
      else if (!frozen.has(process)) frozen.set(process, now);
    }
    for (const [process, since] of frozen) if (now - since > gaveUpMs) frozen.delete(process);
    if (all.some(({ runs }) => runs.some((run) => run.startsWith(`${handler}/`) && run !== work && run !== unable)))
      mixedAt = now;
    const sharing = candidates(ours).sort();
    // Seldom: every handler of every process would compute it once a second.
    if (sharing.join() !== sharers) shares = shareOut(pieces, sharing);
    sharers = sharing.join();
    there = new Set(names(alive));
    orphans = findOrphans(ours, alive);
    for (const listener of listeners) listener();
  }

  function findOrphans(ours: Member[], alive: Member[]): number[] {
    // If most are late at once, it is the database that is slow.
    if (frozen.size === 0 || ours.length - alive.length > Math.max(1, alive.length)) return [];
    const before = shareOut(pieces, [...new Set([...candidates(ours), ...frozen.keys()])]);
    const after = shareOut(pieces, candidates(alive));
    return pieces.flatMap((piece, part) =>
      frozen.has(before.get(piece)!.first) && after.get(piece)?.first === members.process ? [part] : [],
    );
  }

  let leave = members.join(work);
  let isAble = true;
  const unsubscribe = members.onSeen(read);
  read();

  return {
    role(part) {
      const share = shares.get(pieceOf(part));
      if (share?.first === members.process) return 'first';
      return share?.second === members.process ? 'second' : undefined;
    },
    held: () => [...shares.values()].filter(({ first }) => first === members.process).length,
    isFirstThere: (part) => there.has(shares.get(pieceOf(part))?.first ?? ''),
    orphaned: () => orphans,
    isMixed: () => performance.now() - mixedAt < mixedMs,
    setAble(able) {
      if (able === isAble) return;
      isAble = able;
      const before = leave;
      leave = members.join(able ? work : unable);
      before();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    leave() {
      unsubscribe();
      leave();
    },
  };
}
