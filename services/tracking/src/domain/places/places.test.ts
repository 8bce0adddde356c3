import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { points } from '../../testing/points.ts';
import { cellsOver, codeOf, quarters, rangeOf, rangesOf, rectOf, wholeMap } from './cells.ts';
import { distancesTo, metresBetween, rectsAround } from './distance.ts';
import { canonical, type Point, type Rect } from './point.ts';
import { polygonOf } from './polygon.ts';

const at = (latitude: number, longitude: number): Point => ({
  latitudeE7: Math.round(latitude * 1e7),
  longitudeE7: Math.round(longitude * 1e7),
});
const isIn = (rect: Rect, { latitudeE7, longitudeE7 }: Point) =>
  rect.south <= latitudeE7 && latitudeE7 <= rect.north && rect.west <= longitudeE7 && longitudeE7 <= rect.east;

/** By vectors: another formula. */
function byVectors(one: Point, other: Point): number {
  const vector = ({ latitudeE7, longitudeE7 }: Point) => {
    const [latitude, longitude] = [latitudeE7, longitudeE7].map((value) => (value / 1e7) * (Math.PI / 180));
    return [
      Math.cos(latitude!) * Math.cos(longitude!),
      Math.cos(latitude!) * Math.sin(longitude!),
      Math.sin(latitude!),
    ];
  };
  const [[a1, a2, a3], [b1, b2, b3]] = [vector(one), vector(other)] as [
    [number, number, number],
    [number, number, number],
  ];
  const cross = Math.hypot(a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1);
  return 6_371_008.8 * Math.atan2(cross, a1 * b1 + a2 * b2 + a3 * b3);
}

describe('distances', () => {
  test('are those that are known, also across the antimeridian and over a pole', () => {
    // Lyon to Paris, as others compute it on the same sphere.
    expect(metresBetween(at(45.764, 4.8357), at(48.8566, 2.3522))).toBeGreaterThan(391_000);
    expect(metresBetween(at(45.764, 4.8357), at(48.8566, 2.3522))).toBeLessThan(393_000);
    expect(metresBetween(at(0, 179.9999), at(0, -179.9999))).toBe(22);
    expect(metresBetween(at(89.9999, 0), at(89.9999, 180))).toBe(22);
    expect(metresBetween(at(90, 12), at(90, -160))).toBe(0);
    expect(metresBetween(at(0, 0), at(0, 180))).toBe(20_015_114);
    expect(metresBetween(at(10, 180), at(10, -180))).toBe(0);
  });

  test('agree with those by vectors', () => {
    fc.assert(
      fc.property(points, points, (one, other) => {
        expect(Math.abs(metresBetween(one, other) - byVectors(one, other))).toBeLessThan(1);
      }),
      { numRuns: 2_000 },
    );
  });

  test('to a rectangle are bounds of those to its points', () => {
    fc.assert(
      fc.property(points, points, fc.nat(31), (from, within, level) => {
        const size = 2 ** level;
        const place = canonical(within);
        const [x, y] = [place.longitudeE7 + 1_800_000_000, place.latitudeE7 + 900_000_000];
        const rect = rectOf({ x: x - (x % size), y: y - (y % size), size });
        const { least, most } = distancesTo(from, rect);
        const corners = [rect.south, rect.north].flatMap((latitudeE7) =>
          [rect.west, rect.east].map((longitudeE7) => ({ latitudeE7, longitudeE7 })),
        );
        for (const point of [place, ...corners]) {
          expect(metresBetween(from, point)).toBeGreaterThanOrEqual(least);
          expect(metresBetween(from, point)).toBeLessThanOrEqual(most);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test('the rectangles around a point have all points within the distance', () => {
    fc.assert(
      fc.property(points, points, fc.integer({ min: 0, max: 2_000 }), (from, to, more) => {
        const rects = rectsAround(from, Math.max(1, metresBetween(from, to) + more));
        expect(rects.some((rect) => isIn(rect, canonical(to)))).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('cells', () => {
  test('have one range of codes each, which those of their quarters make up', () => {
    fc.assert(
      fc.property(points, (point) => {
        let [cell] = wholeMap.filter((one) => isIn(rectOf(one), canonical(point)));
        const code = codeOf(point);
        while (cell!.size > 1) {
          const { from, to } = rangeOf(cell!);
          expect(from <= code && code <= to).toBe(true);
          cell = quarters(cell!).find((one) => isIn(rectOf(one), canonical(point)));
        }
        expect(rangeOf(cell!)).toEqual({ from: code, to: code });
      }),
      { numRuns: 300 },
    );
  });

  test('over rectangles have all their points, are few, and apart', () => {
    fc.assert(
      fc.property(points, points, points, (one, other, point) => {
        const [a, b] = [canonical(one), canonical(other)];
        const rect = {
          south: Math.min(a.latitudeE7, b.latitudeE7),
          north: Math.max(a.latitudeE7, b.latitudeE7),
          west: Math.min(a.longitudeE7, b.longitudeE7),
          east: Math.max(a.longitudeE7, b.longitudeE7),
        };
        const cells = cellsOver([rect], 24);
        expect(cells.length).toBeLessThanOrEqual(24);
        const ranges = rangesOf(cells);
        expect(ranges.every(({ from }, place) => place === 0 || ranges[place - 1]!.to + 1n < from)).toBe(true);
        for (const each of [a, b, canonical(point)]) {
          const code = codeOf(each);
          if (isIn(rect, each)) expect(ranges.some(({ from, to }) => from <= code && code <= to)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a polygon', () => {
  const inside = (corners: [number, number][], latitude: number, longitude: number) => {
    const polygon = polygonOf(corners.map(([y, x]) => at(y, x)));
    if (!('contains' in polygon)) throw new Error(polygon.description);
    const point = canonical(at(latitude, longitude));
    const found = polygon.contains(point);
    // What it has, its rectangles have.
    if (found) expect(polygon.rects.some((rect) => isIn(rect, point))).toBe(true);
    return found;
  };
  const faultOf = (corners: [number, number][]) => {
    const polygon = polygonOf(corners.map(([y, x]) => at(y, x)));
    return 'contains' in polygon ? undefined : polygon;
  };

  test('has its borders and corners, and not what is in its notch', () => {
    const notched: [number, number][] = [
      [0, 0],
      [0, 10],
      [10, 10],
      [5, 5],
      [10, 0],
    ];
    expect(inside(notched, 0, 5)).toBe(true);
    expect(inside(notched, 5, 5)).toBe(true);
    expect(inside(notched, 5.0000001, 5)).toBe(false);
    expect(inside(notched, 7.5, 7.5)).toBe(true);
    expect(inside(notched, 7.5, 7.4999999)).toBe(false);
    expect(inside(notched, 8, 5)).toBe(false);
    expect(inside(notched, 10, 10)).toBe(true);
    expect(inside(notched, -0.0000001, 5)).toBe(false);
    expect(inside(notched.toReversed(), 7.5, 7.5)).toBe(true);
  });

  test('may end with its first corner', () => {
    const square: [number, number][] = [
      [0, 0],
      [0, 1],
      [1, 1],
      [1, 0],
      [0, 0],
    ];
    expect(inside(square, 0.5, 0.5)).toBe(true);
  });

  test('reaches across the antimeridian, and to a pole', () => {
    const fiji: [number, number][] = [
      [-20, 175],
      [-20, -175],
      [-15, -175],
      [-15, 175],
    ];
    for (const longitude of [175, 179.9999999, 180, -180, -179.5, -175])
      expect(inside(fiji, -17, longitude)).toBe(true);
    for (const longitude of [174.9999999, -174.9999999, 0]) expect(inside(fiji, -17, longitude)).toBe(false);
    const wedge: [number, number][] = [
      [80, 10],
      [80, 50],
      [90, 50],
      [90, 10],
    ];
    expect(inside(wedge, 90, -120)).toBe(true);
    expect(inside(wedge, 89.9999999, -120)).toBe(false);
    expect(inside(wedge, 89.9999999, 30)).toBe(true);
  });

  test.each([
    [
      'crosses itself',
      [
        [0, 0],
        [10, 10],
        [0, 10],
        [10, 0],
      ],
      /cross or touch itself.*points\[0\].*points\[2\]/,
    ],
    [
      'touches itself',
      [
        [0, 0],
        [0, 10],
        [10, 10],
        [0, 5],
        [10, 0],
      ],
      /cross or touch itself/,
    ],
    [
      'is a line',
      [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
      /have an area/,
    ],
    [
      'goes back on an edge',
      [
        [0, 0],
        [0, 10],
        [0, 5],
        [5, 5],
      ],
      /have an area/,
    ],
    [
      'has a corner twice',
      [
        [0, 0],
        [0, 0],
        [1, 1],
      ],
      /differ from the point before it/,
    ],
    [
      'has an edge half around the earth',
      [
        [0, 0],
        [0, 180],
        [10, 90],
      ],
      /put a point between/,
    ],
    [
      'goes around a pole',
      [
        [80, 0],
        [80, 120],
        [80, -120],
      ],
      /around a pole/,
    ],
  ] as [string, [number, number][], RegExp][])('that %s is refused', (_, corners, message) => {
    expect(faultOf(corners)?.description).toMatch(message);
  });

  test('is found to cross itself also where a floating-point number can’t tell', () => {
    const near: Point[] = [
      { latitudeE7: -900_000_000, longitudeE7: -899_999_999 },
      { latitudeE7: 900_000_000, longitudeE7: 899_999_999 },
      { latitudeE7: 1, longitudeE7: 0 },
    ];
    // One unit beside the long edge.
    expect('contains' in polygonOf(near)).toBe(true);
    expect('contains' in polygonOf(near.with(2, { latitudeE7: 0, longitudeE7: 0 }))).toBe(false);
  });
});
