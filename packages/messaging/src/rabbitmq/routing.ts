/** Which routing keys a topic exchange sends to which bindings. */

/**
 * Whether a binding key of a topic exchange takes a routing key: `*` stands for one word, `#` for any number. Takes time
 * in proportion to the words of both, whatever the key: strangers choose theirs.
 */
export function matches(bindingKey: string, routingKey: string): boolean {
  const words = routingKey.split('.');
  /** For each number of words: whether the key's words so far take exactly the first ones. */
  let taken = [true, ...words.map(() => false)];
  for (const part of bindingKey.split('.')) {
    const next = words.map((word, index) => taken[index]! && (part === '*' || part === word));
    if (part === '#') {
      const first = taken.indexOf(true);
      taken = taken.map((_, index) => first !== -1 && index >= first);
    } else taken = [false, ...next];
  }
  return taken.at(-1)!;
}
