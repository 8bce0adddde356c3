/** The area of a search: what is checked of it before anything is read, and which points it has. */
import type { SearchParcelsRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { metresBetween, rectsAround } from '../domain/places/distance.ts';
import { canonical, fullCircle, isPole, type Point, type Rect, rectsOf } from '../domain/places/point.ts';
import { polygonOf } from '../domain/places/polygon.ts';

export interface Area {
  /** Together they have all its points. */
  rects: Rect[];
  contains(point: Point): boolean;
  /** If it is all within a distance of a point. */
  circle?: Circle;
}

export interface Circle {
  center: Point;
  metres: number;
}

/** Undefined if the request names none. Throws INVALID_ARGUMENT for more than one, and for one that makes no sense. */
export function areaOf({ withinDistance, withinBox, withinPolygon }: SearchParcelsRequest): Area | undefined {
  if (withinDistance && (withinBox || withinPolygon)) throw oneOnly(withinBox ? 'within_box' : 'within_polygon');
  if (withinBox && withinPolygon) throw oneOnly('within_polygon');
  if (withinDistance) {
    const center = canonical(withinDistance.center!);
    const metres = withinDistance.distanceMetres;
    return {
      rects: rectsAround(center, metres),
      contains: (point) => metresBetween(center, point) <= metres,
      circle: { center, metres },
    };
  }
  if (withinBox) return boxOf(withinBox.southWest!, withinBox.northEast!);
  if (!withinPolygon) return undefined;
  const polygon = polygonOf(withinPolygon.points);
  if ('contains' in polygon) return polygon;
  const { place, description } = polygon;
  throw invalidField(`within_polygon.points${place === undefined ? '' : `[${place}]`}`, description);
}

function boxOf(southWest: Point, northEast: Point): Area {
  const [south, north] = [southWest.latitudeE7, northEast.latitudeE7];
  if (south > north) throw invalidField('within_box.north_east', 'must not be south of south_west');
  const west = southWest.longitudeE7;
  const east = northEast.longitudeE7 + (west > northEast.longitudeE7 ? fullCircle : 0);
  return {
    rects: rectsOf({ south, north, west, east }),
    contains(point) {
      const { latitudeE7, longitudeE7 } = point;
      if (latitudeE7 < south || latitudeE7 > north) return false;
      // All meridians meet there.
      if (isPole(point)) return true;
      return [0, fullCircle].some((turn) => longitudeE7 + turn >= west && longitudeE7 + turn <= east);
    },
  };
}

const oneOnly = (field: string) =>
  invalidField(field, 'must be absent: within_distance, within_box and within_polygon exclude each other');
