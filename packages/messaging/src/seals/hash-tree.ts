/** A hash tree over a list, as in RFC 9162, section 2.1: one root for all, and for each item a path that leads to it. */
import { sha256 } from '@caudal/kernel/sha256.ts';

export const hashLength = 32;

/** Leaves begin with a byte 0 and nodes with a byte 1, so that no node can be taken for a leaf. */
const leafPrefix = Buffer.of(0);
/** A node's bytes, which are hashed at once: to make a buffer for each would cost as much as the hash. */
const node = Buffer.alloc(1 + 2 * hashLength, 1);

function nodeOf(left: Buffer, right: Buffer): Buffer {
  left.copy(node, 1);
  right.copy(node, 1 + hashLength);
  return sha256(node);
}

/** The hash of an item, whose bytes are these parts, one behind the other. */
export function leafHash(parts: Buffer[]): Buffer {
  return sha256(Buffer.concat([leafPrefix, ...parts]));
}

/** The tree over these hashes, of which there is at least one. */
export function hashTree(leaves: Buffer[]): { root: Buffer; pathOf(index: number): Buffer[] } {
  const levels = [leaves];
  for (let level = leaves; level.length > 1; levels.push(level)) {
    const above: Buffer[] = [];
    // The last one of an odd number goes up as it is.
    for (let at = 0; at < level.length; at += 2)
      above.push(at + 1 < level.length ? nodeOf(level[at]!, level[at + 1]!) : level[at]!);
    level = above;
  }
  return {
    root: levels.at(-1)![0]!,
    pathOf: (index) => levels.flatMap((level, height) => level[Math.floor(index / 2 ** height) ^ 1] ?? []),
  };
}

/** The root to which a path leads from the hash at a place in a list; undefined if the path does not fit the place. */
export function rootOf(leaf: Buffer, { index, size, path }: { index: number; size: number; path: Buffer[] }) {
  if (index >= size) return undefined;
  let [at, last, root] = [index, size - 1, leaf];
  for (const beside of path) {
    if (last === 0) return undefined;
    if (at % 2 === 1 || at === last) {
      root = nodeOf(beside, root);
      // It has gone up alone before it met the one beside it.
      while (at % 2 === 0 && at !== 0) [at, last] = [at >>> 1, last >>> 1];
    } else root = nodeOf(root, beside);
    [at, last] = [at >>> 1, last >>> 1];
  }
  return last === 0 ? root : undefined;
}
