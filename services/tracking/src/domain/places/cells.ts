/**
 * Cells of the map, and the code of a point: the bits of longitude and latitude in turn (a Morton code, 63 bits). A cell halves the map in
 * both directions again and again, and its points are one range of codes. The smallest cell is one point.
 */
import { canonical, mostLatitude, mostLongitude, type Point, type Rect } from './point.ts';

/** Of so many units of a coordinate, a power of two; `x` and `y` count from -180 and -90 degrees. */
export interface Cell {
  x: number;
  y: number;
  size: number;
}

/** The codes from `from` to `to`, both included. */
export interface CodeRange {
  from: bigint;
  to: bigint;
}

const largest = 2 ** 31;
const columns = 2 * mostLongitude;
const rows = 2 * mostLatitude + 1;

/** The cells that the map consists of. */
export const wholeMap: Cell[] = [
  { x: 0, y: 0, size: largest },
  { x: largest, y: 0, size: largest },
];

/** The bits of a number below 65,536, each with a zero above. */
function spread(bits: number): number {
  let wide = bits;
  wide = (wide | (wide << 8)) & 0x00ff00ff;
  wide = (wide | (wide << 4)) & 0x0f0f0f0f;
  wide = (wide | (wide << 2)) & 0x33333333;
  wide = (wide | (wide << 1)) & 0x55555555;
  return wide;
}

function code(x: number, y: number): bigint {
  const high = spread(Math.floor(x / 65_536)) + 2 * spread(Math.floor(y / 65_536));
  const low = spread(x % 65_536) + 2 * spread(y % 65_536);
  return (BigInt(high) << 32n) | BigInt(low);
}

/** The code of a point. Equal points have equal codes, and different ones different codes. */
export function codeOf(point: Point): bigint {
  const { latitudeE7, longitudeE7 } = canonical(point);
  return code(longitudeE7 + mostLongitude, latitudeE7 + mostLatitude);
}

/** The codes of a cell's points. */
export function rangeOf({ x, y, size }: Cell): CodeRange {
  const from = code(x, y);
  return { from, to: from + BigInt(size) * BigInt(size) - 1n };
}

/** The part of the map that a cell is. */
export function rectOf({ x, y, size }: Cell): Rect {
  return {
    south: y - mostLatitude,
    north: Math.min(y + size, rows) - 1 - mostLatitude,
    west: x - mostLongitude,
    east: Math.min(x + size, columns) - 1 - mostLongitude,
  };
}

/** The quarters of a cell that are on the map, in the order of their codes. */
export function quarters({ x, y, size }: Cell): Cell[] {
  const half = size / 2;
  const all = [
    { x, y, size: half },
    { x: x + half, y, size: half },
    { x, y: y + half, size: half },
    { x: x + half, y: y + half, size: half },
  ];
  return all.filter((cell) => cell.x < columns && cell.y < rows);
}

const meets = (one: Rect, other: Rect) =>
  one.west <= other.east && other.west <= one.east && one.south <= other.north && other.south <= one.north;
const holds = (outer: Rect, inner: Rect) =>
  outer.west <= inner.west && inner.east <= outer.east && outer.south <= inner.south && inner.north <= outer.north;

/** Cells that together have all points of the rectangles, and others beside: the more cells, the fewer others. At most `most`. */
export function cellsOver(rects: Rect[], most: number): Cell[] {
  const whole: Cell[] = [];
  // The largest are the first.
  const partly: Cell[] = [];
  const sort = (cell: Cell) => {
    const rect = rectOf(cell);
    if (rects.some((one) => holds(one, rect))) whole.push(cell);
    else if (rects.some((one) => meets(one, rect))) partly.push(cell);
  };
  for (const cell of wholeMap) sort(cell);
  while (partly.length > 0 && whole.length + partly.length + 3 <= most)
    for (const cell of quarters(partly.shift()!)) sort(cell);
  return [...whole, ...partly];
}

/** The ranges of these cells, in order; neighbours are one range. */
export function rangesOf(cells: Cell[]): CodeRange[] {
  const ranges = cells.map(rangeOf).sort((a, b) => (a.from < b.from ? -1 : 1));
  const joined: CodeRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last && last.to + 1n === range.from) last.to = range.to;
    else joined.push({ ...range });
  }
  return joined;
}
