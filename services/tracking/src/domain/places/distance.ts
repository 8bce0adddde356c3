/** Distances on a sphere, in whole metres. From those on the ellipsoid they differ by at most 0.6 %. */
import { canonical, fullCircle, mostLatitude, type Point, perDegree, type Rect, rectsOf } from './point.ts';

/** The mean radius of the earth (IUGG), in metres. */
const radius = 6_371_008.8;
const toRadians = Math.PI / 180 / perDegree;

/** By the haversine formula, which is exact for small distances, too. */
function between(latitude: number, other: number, longitudes: number): number {
  const [half, across] = [Math.sin((other - latitude) / 2), Math.sin(longitudes / 2)];
  const h = half * half + Math.cos(latitude) * Math.cos(other) * across * across;
  return 2 * radius * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** In whole metres. */
export function metresBetween(one: Point, other: Point): number {
  const [a, b] = [canonical(one), canonical(other)];
  const longitudes = (b.longitudeE7 - a.longitudeE7) * toRadians;
  return Math.round(between(a.latitudeE7 * toRadians, b.latitudeE7 * toRadians, longitudes));
}

/** How far east of the first meridian the other is: from 0 to just below once around. */
const eastward = (from: number, to: number) => (((to - from) % fullCircle) + fullCircle) % fullCircle;

/** Bounds of the distances from a point to all points of a rectangle, in whole metres, with a metre for rounding. */
export function distancesTo(point: Point, { south, north, west, east }: Rect): { least: number; most: number } {
  const { latitudeE7, longitudeE7 } = canonical(point);
  const latitude = latitudeE7 * toRadians;
  const [low, high] = [south * toRadians, north * toRadians];
  const apart = (longitude: number) => {
    const difference = eastward(longitude, longitudeE7);
    return Math.min(difference, fullCircle - difference) * toRadians;
  };
  const width = east - west;
  const edges = [apart(west), apart(east)];
  const isBetween = eastward(west, longitudeE7) <= width;
  const nearest = isBetween ? 0 : Math.min(...edges);
  const opposite = eastward(west, longitudeE7 + fullCircle / 2) <= width;
  const farthest = opposite ? Math.PI : Math.max(...edges);
  // On one meridian the cosine of the distance is a sine wave of the latitude: its crest, its trough and the ends decide.
  const crest = (longitudes: number) => Math.atan2(Math.sin(latitude), Math.cos(latitude) * Math.cos(longitudes));
  const within = (angle: number) => [angle, angle - Math.PI, angle + Math.PI].filter((at) => at > low && at < high);
  const distances = (longitudes: number) =>
    [low, high, ...within(crest(longitudes))].map((at) => between(latitude, at, longitudes));
  return {
    least: Math.max(0, Math.floor(Math.min(...distances(nearest))) - 1),
    most: Math.ceil(Math.max(...distances(farthest))) + 1,
  };
}

/** Rectangles that have all points within a distance of the point. */
export function rectsAround(point: Point, metres: number): Rect[] {
  const { latitudeE7, longitudeE7 } = canonical(point);
  const angle = (metres + 1) / radius;
  const reach = Math.ceil(angle / toRadians) + 1;
  const south = Math.max(latitudeE7 - reach, -mostLatitude);
  const north = Math.min(latitudeE7 + reach, mostLatitude);
  const hasPole = south === -mostLatitude || north === mostLatitude;
  const sine = Math.sin(angle) / Math.cos(latitudeE7 * toRadians);
  if (hasPole || sine >= 1) return rectsOf({ south, north, west: -fullCircle / 2, east: fullCircle / 2 });
  const aside = Math.ceil(Math.asin(sine) / toRadians) + 1;
  return rectsOf({ south, north, west: longitudeE7 - aside, east: longitudeE7 + aside });
}
