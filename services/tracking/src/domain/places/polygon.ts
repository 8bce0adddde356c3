/**
 * Polygons of the map whose axes are longitude and latitude. All is computed with integers, or checked with them where a floating-point
 * number is in doubt, so a point on a border is on it.
 */
import { fullCircle, isPole, mostLongitude, type Point, type Rect, rectsOf } from './point.ts';

/** Edges are between neighbours, and between the last and the first. Longitudes go on beyond 180 degrees where an edge crosses it. */
interface Corner {
  x: number;
  y: number;
}

export interface Polygon {
  rects: Rect[];
  contains(point: Point): boolean;
}

/** What is wrong, and with which of the points that were given; without a place with all of them. */
export interface PolygonFault {
  place?: number;
  description: string;
}

/** The polygon with these corners, of which the last may repeat the first; or what is wrong with it. */
export function polygonOf(points: readonly Point[]): Polygon | PolygonFault {
  const corners = cornersOf(points);
  if ('description' in corners) return corners;
  return crossingOf(corners) ?? closed(corners);
}

function cornersOf(points: readonly Point[]): Corner[] | PolygonFault {
  const [first] = points;
  const last = points.at(-1);
  const repeats =
    points.length > 3 && last?.latitudeE7 === first?.latitudeE7 && last?.longitudeE7 === first?.longitudeE7;
  const open = repeats ? points.slice(0, -1) : points;
  const corners: Corner[] = [];
  for (const [place, { latitudeE7: y, longitudeE7 }] of open.entries()) {
    const before = corners.at(-1);
    const step = before ? shorterWay(before.x, longitudeE7) : 0;
    const half = before && halfAround(step, place);
    if (half) return half;
    const x = before ? before.x + step : longitudeE7;
    if (before && before.x === x && before.y === y)
      return { place, description: 'must differ from the point before it' };
    corners.push({ x, y });
  }
  const [begin, end] = [corners[0]!, corners.at(-1)!];
  const back = shorterWay(end.x, begin.x);
  const half = halfAround(back, open.length - 1);
  if (half) return half;
  if (end.x + back !== begin.x)
    return { description: 'must not go around a pole: use within_distance of the pole, or within_box' };
  if (back === 0 && begin.y === end.y)
    return { place: open.length - 1, description: 'must differ from the first point' };
  const xs = corners.map(({ x }) => x);
  if (Math.max(...xs) - Math.min(...xs) >= fullCircle)
    return { description: 'must not reach around the earth: use within_box' };
  return corners;
}

/** From one longitude to another, from -180 to 180 degrees. */
function shorterWay(from: number, to: number): number {
  const east = (((to - from) % fullCircle) + fullCircle) % fullCircle;
  return east > mostLongitude ? east - fullCircle : east;
}

function halfAround(step: number, place: number): PolygonFault | undefined {
  if (step !== mostLongitude) return undefined;
  return { place, description: 'is half around the earth from its neighbour, either way: put a point between them' };
}

/** 1: `c` is left of the line from `a` to `b`; -1: right of it; 0: on it. */
function side(a: Corner, b: Corner, c: Corner): number {
  const [left, right] = [(b.x - a.x) * (c.y - a.y), (b.y - a.y) * (c.x - a.x)];
  const difference = left - right;
  // Three roundings of at most 2^-53 each.
  if (Math.abs(difference) > (Math.abs(left) + Math.abs(right)) * 4e-16) return Math.sign(difference);
  const exact = BigInt(b.x - a.x) * BigInt(c.y - a.y) - BigInt(b.y - a.y) * BigInt(c.x - a.x);
  return exact > 0n ? 1 : exact < 0n ? -1 : 0;
}

const isAmong = (a: Corner, b: Corner, c: Corner) =>
  Math.min(a.x, b.x) <= c.x && c.x <= Math.max(a.x, b.x) && Math.min(a.y, b.y) <= c.y && c.y <= Math.max(a.y, b.y);
const isOn = (a: Corner, b: Corner, c: Corner) => isAmong(a, b, c) && side(a, b, c) === 0;

/** The first edge that meets another one, but for neighbours in their common corner. */
function crossingOf(corners: Corner[]): PolygonFault | undefined {
  const count = corners.length;
  const at = (place: number) => corners[place % count]!;
  for (let one = 0; one < count; one++) {
    const [a, b, next] = [at(one), at(one + 1), at(one + 2)];
    // Also if all corners are on one line.
    if (side(a, b, next) === 0 && (isAmong(a, b, next) || isAmong(b, next, a)))
      return { description: `must have an area: the edges at points[${(one + 1) % count}] lie on each other` };
    for (let other = one + 2; other < count; other++) {
      if (one === 0 && other === count - 1) continue;
      const [c, d] = [at(other), at(other + 1)];
      const crosses = side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
      if (crosses || isOn(a, b, c) || isOn(a, b, d) || isOn(c, d, a) || isOn(c, d, b))
        return {
          description: `must not cross or touch itself: the edge from points[${one}] meets the one from points[${other}]`,
        };
    }
  }
  return undefined;
}

function closed(corners: Corner[]): Polygon {
  const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
  const [west, east] = [Math.min(...xs), Math.max(...xs)];
  const [south, north] = [Math.min(...ys), Math.max(...ys)];
  const edges = corners.map((corner, place) => [corner, corners[(place + 1) % corners.length]!] as const);

  /** Winding number, borders included. */
  function surrounds(point: Corner): boolean {
    let turns = 0;
    for (const [a, b] of edges) {
      if (isOn(a, b, point)) return true;
      if (a.y <= point.y && b.y > point.y && side(a, b, point) > 0) turns++;
      else if (a.y > point.y && b.y <= point.y && side(a, b, point) < 0) turns--;
    }
    return turns !== 0;
  }

  return {
    rects: rectsOf({ south, north, west, east }),
    contains(point) {
      const { latitudeE7: y, longitudeE7 } = point;
      if (y < south || y > north) return false;
      // A polygon that touches a pole has it, from whichever side.
      if (isPole(point)) return true;
      return [-fullCircle, 0, fullCircle].some((turn) => {
        const x = longitudeE7 + turn;
        return x >= west && x <= east && surrounds({ x, y });
      });
    },
  };
}
