/**
 * The most characters of a text that matches a pattern of the contract, so that longer ones need not be matched. It knows what such
 * patterns consist of: characters, classes, groups, alternatives and counts.
 */

/** Undefined if the pattern has no end, or is not anchored at both. */
export function longestMatch(pattern: string): number | undefined {
  if (!pattern.startsWith('^') || !pattern.endsWith('$')) return undefined;
  const source = pattern.slice(1, -1);
  let at = 0;

  /** Alternatives, up to the end of their group. */
  const passAlternatives = (): number => {
    let longest = 0;
    let length = 0;
    for (; at < source.length && source[at] !== ')'; ) {
      if (source[at] === '|') {
        at++;
        longest = Math.max(longest, length);
        length = 0;
      } else {
        const atom = passAtom();
        length += times(atom);
      }
    }
    return Math.max(longest, length);
  };

  const passAtom = (): number => {
    const first = source[at++];
    if (first === '(') {
      const kind = /^\?(?::|<?[=!])/.exec(source.slice(at, at + 3))?.[0] ?? '';
      at += kind.length;
      const length = passAlternatives();
      at++;
      // What only looks ahead or behind takes no characters.
      return kind === '' || kind === '?:' ? length : 0;
    }
    if (first === '[') while (at < source.length && source[at] !== ']') at += source[at] === '\\' ? 2 : 1;
    // A class ends with its bracket, an escape with the character behind it.
    if (first === '[' || first === '\\') at++;
    return 1;
  };

  const times = (length: number): number => {
    const [text = '', , most] = /^(?:[*+]|\?|\{(\d+)(?:,(\d*))?\})\??/.exec(source.slice(at, at + 24)) ?? [];
    at += text.length;
    if (text === '' || text.startsWith('?') || length === 0) return length;
    if (/^[*+]/.test(text) || most === '') return Number.POSITIVE_INFINITY;
    return length * Number(most ?? /\d+/.exec(text)![0]);
  };

  const longest = passAlternatives();
  return at === source.length && Number.isFinite(longest) ? longest : undefined;
}
