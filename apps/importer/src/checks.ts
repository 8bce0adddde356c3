/** A comparison of two figures that must be the same. */

export interface Check {
  name: string;
  expected: string;
  actual: string;
  ok: boolean;
  /** What is wrong, one by one, where that can be said. */
  where: string[];
}

/** Both must be the same. */
export function compare(name: string, expected: string | number | bigint, actual: string | number | bigint): Check {
  return {
    name,
    expected: String(expected),
    actual: String(actual),
    ok: String(expected) === String(actual),
    where: [],
  };
}

/** There must be nothing of this kind. */
export function none(name: string, found: string[]): Check {
  return { ...compare(name, 0, found.length), where: found };
}
