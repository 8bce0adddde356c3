/** A binary heap: the least item is taken first. */
export function openHeap<T>(compare: (one: T, other: T) => number) {
  const items: T[] = [];
  const swap = (one: number, other: number) => {
    [items[one], items[other]] = [items[other]!, items[one]!];
  };
  const isLess = (one: number, other: number) => compare(items[one]!, items[other]!) < 0;

  return {
    push(item: T): void {
      let at = items.push(item) - 1;
      for (let up = (at - 1) >> 1; at > 0 && isLess(at, up); up = (at - 1) >> 1) {
        swap(at, up);
        at = up;
      }
    },
    /** Undefined if it is empty. */
    pop(): T | undefined {
      if (items.length === 0) return undefined;
      swap(0, items.length - 1);
      const least = items.pop();
      for (let at = 0; ; ) {
        const [left, right] = [2 * at + 1, 2 * at + 2];
        let next = at;
        if (left < items.length && isLess(left, next)) next = left;
        if (right < items.length && isLess(right, next)) next = right;
        if (next === at) return least;
        swap(at, next);
        at = next;
      }
    },
  };
}
