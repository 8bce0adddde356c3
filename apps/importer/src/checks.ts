/** A comparison of two figures that must be the same. */

export interface Check {
  name: string;
  expected: string;
  actual: string;
  ok: boolean;
  /** The single differences, if they are known. */
  where: string[];
}

/** A check that both figures are equal. */
export function compare(name: string, expected: string | number | bigint, actual: string | number | bigint): Check {
  return {
    name,
    expected: String(expected),
    actual: String(actual),
    ok: String(expected) === String(actual),
    where: [],
  };
}

/** A check that nothing of this kind was found. */
export function none(name: string, found: string[]): Check {
  return { ...compare(name, 0, found.length), where: found };
}
