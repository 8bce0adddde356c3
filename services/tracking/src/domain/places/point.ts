/** Points and rectangles of the map, in ten millionths of a degree: integers, so that borders are exact. */

export interface Point {
  latitudeE7: number;
  longitudeE7: number;
}

/** Borders included; `west` is not above `east`, and both are from -180 to just below 180 degrees. */
export interface Rect {
  south: number;
  north: number;
  west: number;
  east: number;
}

export const perDegree = 10_000_000;

/** The point at these degrees. */
export const pointAt = (latitude: number, longitude: number): Point => ({
  latitudeE7: Math.round(latitude * perDegree),
  longitudeE7: Math.round(longitude * perDegree),
});

/** Of a pole. */
export const mostLatitude = 90 * perDegree;
/** Of the antimeridian. */
export const mostLongitude = 180 * perDegree;
/** Once around the earth. */
export const fullCircle = 360 * perDegree;

/** The one way to write a point: 180 degrees is -180, and a pole has the longitude 0. */
export function canonical({ latitudeE7, longitudeE7 }: Point): Point {
  if (Math.abs(latitudeE7) === mostLatitude) return { latitudeE7, longitudeE7: 0 };
  return { latitudeE7, longitudeE7: longitudeE7 === mostLongitude ? -mostLongitude : longitudeE7 };
}

export const isPole = ({ latitudeE7 }: Point): boolean => Math.abs(latitudeE7) === mostLatitude;

/** The canonical rectangles of one whose meridians may be any, with the poles that it touches. `west` is not above `east`. */
export function rectsOf({ south, north, west, east }: Rect): Rect[] {
  const poles = [-mostLatitude, mostLatitude]
    .filter((pole) => pole === south || pole === north)
    .map((pole) => ({ south: pole, north: pole, west: 0, east: 0 }));
  if (east - west >= fullCircle - 1) return [{ south, north, west: -mostLongitude, east: mostLongitude - 1 }, ...poles];
  const turns = Math.floor((west + mostLongitude) / fullCircle) * fullCircle;
  const [from, to] = [west - turns, east - turns];
  if (to < mostLongitude) return [{ south, north, west: from, east: to }, ...poles];
  const parts = [
    { south, north, west: from, east: mostLongitude - 1 },
    { south, north, west: -mostLongitude, east: to - fullCircle },
  ];
  return [...parts, ...poles];
}
