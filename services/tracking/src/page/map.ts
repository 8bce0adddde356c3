/** The parcel's way as a picture: its places on a graticule, joined in their order. No map of anybody is loaded. */
import { foreign, html, type Markup } from './markup.ts';
import type { SeenPlace } from './seen-place.ts';
import type { Texts } from './texts.ts';

const width = 640;
const height = 320;
/** Between the outermost places and the edge, of the larger extent. */
const margin = 0.15;
/** A single place is shown with this many degrees around it. */
const minDegrees = 2;
/** Steps of the graticule in degrees, the smallest first. */
const steps = [0.5, 1, 2, 5, 10, 20, 30, 45];
/** The most lines of the graticule in each direction. */
const maxLines = 8;

interface Point {
  name: string | undefined;
  latitude: number;
  /** Beyond 180 where the way crosses the date line. */
  longitude: number;
}

/** Undefined if no place has a position. `places`: in the order in which the parcel was there. */
export function mapOf(places: readonly SeenPlace[], texts: Texts): Markup | undefined {
  const points = pointsOf(places);
  if (points.length === 0) return undefined;
  const { x, y, west, east, south, north } = frameOf(points);
  const at = ({ longitude, latitude }: Point) => `${round(x(longitude))},${round(y(latitude))}`;
  const last = points.at(-1)!;
  return html`<figure>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${texts.map}" aria-describedby="way">
${linesOf(west, east).map(
  (degrees) => html`<line class="grid" x1="${round(x(degrees))}" y1="0" x2="${round(x(degrees))}" y2="${height}"/>
<text x="${round(x(degrees)) + 3}" y="${height - 4}">${longitudeText(degrees, texts)}</text>
`,
)}${linesOf(south, north).map(
  (degrees) => html`<line class="grid" x1="0" y1="${round(y(degrees))}" x2="${width}" y2="${round(y(degrees))}"/>
<text x="4" y="${round(y(degrees)) - 3}">${latitudeText(degrees, texts)}</text>
`,
)}<polyline class="way" points="${points.map(at).join(' ')}"/>
${points.map(
  (
    point,
  ) => html`<circle class="place${point === last ? ' last' : ''}" cx="${round(x(point.longitude))}" cy="${round(y(point.latitude))}" r="${point === last ? 7 : 5}"/>
`,
)}</svg>
<figcaption class="soft" id="way">${wayOf(points, texts)}</figcaption>
</figure>`;
}

/** The places in words, for those who do not see the picture. */
function wayOf(points: readonly Point[], texts: Texts): Markup {
  const names = points.map(
    ({ name }, n) => html`${n > 0 ? ' \u2192 ' : ''}${name === undefined ? texts.unnamedPlace : foreign(name)}`,
  );
  return texts.way(html`${names}`);
}

/** The positions in their order, each once where it follows itself; the shorter way around the world. */
function pointsOf(places: readonly SeenPlace[]): Point[] {
  const points: Point[] = [];
  for (const { name, position } of places) {
    if (!position) continue;
    const before = points.at(-1);
    const turns = before ? Math.round((before.longitude - position.longitude) / 360) : 0;
    const longitude = position.longitude + turns * 360;
    if (before?.longitude === longitude && before.latitude === position.latitude) continue;
    points.push({ name, latitude: position.latitude, longitude });
  }
  return points;
}

interface Frame {
  west: number;
  east: number;
  south: number;
  north: number;
  x(longitude: number): number;
  y(latitude: number): number;
}

/** All points with a margin, in the proportions of the picture. A degree of longitude is as long as it is in the middle. */
function frameOf(points: readonly Point[]): Frame {
  const [south0, north0] = extent(points.map(({ latitude }) => latitude));
  const [west0, east0] = extent(points.map(({ longitude }) => longitude));
  const middle = { latitude: (south0 + north0) / 2, longitude: (west0 + east0) / 2 };
  const squeeze = Math.max(0.2, Math.cos((middle.latitude * Math.PI) / 180));
  const wanted = (degrees: number) => Math.max(minDegrees, degrees * (1 + 2 * margin));
  // In degrees of latitude.
  const tall = Math.max(wanted(north0 - south0), (wanted((east0 - west0) * squeeze) * height) / width);
  const perDegree = height / tall;
  const wide = width / perDegree / squeeze;
  const west = middle.longitude - wide / 2;
  const north = middle.latitude + tall / 2;
  return {
    ...{ west, north, east: west + wide, south: north - tall },
    x: (longitude) => (longitude - west) * perDegree * squeeze,
    y: (latitude) => (north - latitude) * perDegree,
  };
}

const extent = (values: readonly number[]) => [Math.min(...values), Math.max(...values)] as const;

/** The lines of the graticule between two degrees. */
function linesOf(from: number, to: number): number[] {
  const step = steps.find((each) => (to - from) / each <= maxLines) ?? steps.at(-1)!;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.max(0, Math.floor(to / step) - first + 1) }, (_, n) => (first + n) * step);
}

const round = (value: number) => Math.round(value * 10) / 10;

function longitudeText(degrees: number, { east, west }: Texts): string {
  const turned = ((((degrees + 180) % 360) + 360) % 360) - 180;
  return `${Math.abs(turned)}\u00b0${turned === 0 || turned === -180 ? '' : turned < 0 ? west : east}`;
}

const latitudeText = (degrees: number, { north, south }: Texts) =>
  `${Math.abs(degrees)}\u00b0${degrees === 0 ? '' : degrees < 0 ? south : north}`;
