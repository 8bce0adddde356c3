/**
 * How work is shared out over processes: a pure function, so that processes that know of each other agree without asking.
 * Rendezvous hashing with quotas: each process gets as many pieces as any other, or one less, and few pieces move when
 * processes come or go.
 */
import { fnv1a } from '@caudal/kernel/fnv1a.ts';

/** Who works on a piece. */
export interface Share {
  first: string;
  /** Who is first when the first goes; undefined if there is nobody else. */
  second: string | undefined;
}

/** FNV-1a of similar texts differs little in its high bits: they are mixed (the finalizer of MurmurHash3). */
function weight(...texts: string[]): number {
  let hash = fnv1a(texts.join('\n'));
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

interface Weighed {
  piece: string;
  process: string;
  weight: number;
}

/** Heaviest first; the names decide between equals, so that every process has the same order. */
function byWeight(a: Weighed, b: Weighed): number {
  if (a.weight !== b.weight) return b.weight - a.weight;
  return `${a.piece}\n${a.process}` < `${b.piece}\n${b.process}` ? -1 : 1;
}

/**
 * Gives each piece to the process for which it weighs most, of those that have not got enough yet. `takers`: those with
 * one more first, if they can't have the same number.
 */
function firsts(count: number, takers: Weighed[], pairs: Weighed[], without?: string): Map<string, string> {
  const processes = takers.filter(({ process }) => process !== without);
  const given = new Map<string, string>();
  if (processes.length === 0) return given;
  const least = Math.floor(count / processes.length);
  const more = count % processes.length;
  const quotas = new Map(processes.map(({ process }, place) => [process, least + (place < more ? 1 : 0)]));
  for (const { piece, process } of pairs) {
    const left = quotas.get(process) ?? 0;
    if (left === 0 || given.has(piece)) continue;
    given.set(piece, process);
    quotas.set(process, left - 1);
  }
  return given;
}

/** Shares pieces out over processes. Their order does not matter. Without a process there are no shares. */
export function shareOut(pieces: readonly string[], processes: readonly string[]): Map<string, Share> {
  const all = pieces.toSorted().join('\n');
  // Which processes get one more depends on the pieces, so that it is not the same one for all handlers.
  const takers = processes.map((process) => ({ piece: '', process, weight: weight('quota', process, all) }));
  takers.sort(byWeight);
  const pairs = pieces.flatMap((piece) =>
    processes.map((process) => ({ piece, process, weight: weight(piece, process) })),
  );
  pairs.sort(byWeight);
  const first = firsts(pieces.length, takers, pairs);
  const without = new Map<string, Map<string, string>>();
  const shares = new Map<string, Share>();
  for (const [piece, process] of first) {
    const rest = without.get(process) ?? firsts(pieces.length, takers, pairs, process);
    without.set(process, rest);
    shares.set(piece, { first: process, second: rest.get(piece) });
  }
  return shares;
}
