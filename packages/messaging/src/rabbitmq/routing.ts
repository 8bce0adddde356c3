/** Which routing keys a topic exchange sends to which bindings. */

/** Whether a binding key of a topic exchange takes a routing key: `*` stands for one word, `#` for any number. */
export function matches(bindingKey: string, routingKey: string): boolean {
  return matchWords(bindingKey.split('.'), routingKey.split('.'));
}

function matchWords([first, ...rest]: string[], words: string[]): boolean {
  if (first === undefined) return words.length === 0;
  if (first === '#') return matchWords(rest, words) || (words.length > 0 && matchWords(['#', ...rest], words.slice(1)));
  return words.length > 0 && (first === '*' || first === words[0]) && matchWords(rest, words.slice(1));
}
