/**
 * The parcels that the simulated carriers carry. Each is a function of the seed and its number, so a million of them need no memory,
 * and what was sent can be said again afterwards.
 */
import { between, pick, type Random, randomOf } from './random.ts';

export const scenarios = ['on-time', 'late', 'lost-and-found', 'returned', 'two-parcels', 'false-zone'] as const;
export type Scenario = (typeof scenarios)[number];

export const carriers = ['acme', 'dhl', 'ups'] as const;
/** `acme` speaks Caudal's own format. */
export type Carrier = (typeof carriers)[number];

/** What happens to a parcel, in words that each carrier has its own for. */
export type Happening =
  | 'LABEL'
  | 'ACCEPTED'
  | 'DEPARTED'
  | 'ARRIVED'
  | 'DELAYED'
  | 'LOST'
  | 'OUT'
  | 'FAILED'
  | 'DELIVERED'
  | 'RETURNING'
  | 'RETURNED';

export interface Hub {
  name: string;
  country: string;
  latitude: number;
  longitude: number;
  /** Ahead of UTC, in minutes; the simulation is in March before clocks change. */
  offsetMinutes: number;
}

export const hubs: readonly Hub[] = [
  { name: 'Leipzig', country: 'DE', latitude: 51.34, longitude: 12.37, offsetMinutes: 60 },
  { name: 'London', country: 'GB', latitude: 51.51, longitude: -0.13, offsetMinutes: 0 },
  { name: 'Warsaw', country: 'PL', latitude: 52.23, longitude: 21.01, offsetMinutes: 60 },
  { name: 'Tokyo', country: 'JP', latitude: 35.68, longitude: 139.69, offsetMinutes: 540 },
  { name: 'Singapore', country: 'SG', latitude: 1.35, longitude: 103.82, offsetMinutes: 480 },
];

export interface SimulatedEvent {
  /** Unique in its parcel. */
  id: string;
  happening: Happening;
  /** Milliseconds since 1970, as the carrier believes. */
  at: number;
  hub: Hub;
}

export interface Parcel {
  index: number;
  carrier: Carrier;
  trackingNumber: string;
  scenario: Scenario;
  /** Two parcels of an order have the same. */
  order: string;
  events: SimulatedEvent[];
  /** What is true of it in the end. */
  outcome: 'DELIVERED' | 'RETURNED';
}

export interface World {
  seed: number;
  /** Absent: all of them, mixed. */
  scenario?: Scenario;
  /** When the first parcels are announced, in milliseconds since 1970. */
  startAt: number;
}

const hour = 3_600_000;
const prefixes: Record<Carrier, string> = { acme: 'ACME', dhl: '00340434', ups: '1Z999AA1' };

/** The parcel of this number. */
export function parcelOf(world: World, index: number): Parcel {
  // Both parcels of an order have the same seed's scenario, and go their own ways.
  const scenario = world.scenario ?? pick(randomOf(world.seed, index >> 1), scenarios);
  const random = randomOf(world.seed, index, 1);
  const carrier = carriers[scenario === 'two-parcels' ? (index >> 1) % 3 : index % 3]!;
  const order = `order-${world.seed}-${scenario === 'two-parcels' ? index >> 1 : `${index}s`}`;
  const events = eventsOf(scenario, random, world.startAt + between(random, 0, 48) * hour);
  const trackingNumber = prefixes[carrier] + String(index).padStart(12, '0');
  const outcome = scenario === 'returned' ? 'RETURNED' : 'DELIVERED';
  return { index, carrier, trackingNumber, scenario, order, events, outcome };
}

/** The parcel's number; undefined for one that is none of these parcels'. */
export function indexOf(carrier: Carrier, trackingNumber: string): number | undefined {
  if (!trackingNumber.startsWith(prefixes[carrier])) return undefined;
  const digits = trackingNumber.slice(prefixes[carrier].length);
  return /^\d{12}$/.test(digits) ? Number(digits) : undefined;
}

/** Hours after the last event, and what happens. */
const ways: Record<Scenario, readonly [number, Happening][]> = {
  'on-time': [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [6, 'DEPARTED'],
    [14, 'ARRIVED'],
    [4, 'OUT'],
    [3, 'DELIVERED'],
  ],
  late: [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [6, 'DEPARTED'],
    [30, 'DELAYED'],
    [50, 'ARRIVED'],
    [4, 'OUT'],
    [4, 'FAILED'],
    [20, 'OUT'],
    [3, 'DELIVERED'],
  ],
  'lost-and-found': [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [6, 'DEPARTED'],
    [90, 'LOST'],
    [200, 'ARRIVED'],
    [4, 'OUT'],
    [3, 'DELIVERED'],
  ],
  returned: [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [20, 'ARRIVED'],
    [4, 'OUT'],
    [4, 'FAILED'],
    [3, 'RETURNING'],
    [30, 'DEPARTED'],
    [30, 'RETURNED'],
  ],
  'two-parcels': [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [20, 'ARRIVED'],
    [4, 'OUT'],
    [3, 'DELIVERED'],
  ],
  'false-zone': [
    [0, 'LABEL'],
    [5, 'ACCEPTED'],
    [6, 'DEPARTED'],
    [14, 'ARRIVED'],
    [4, 'OUT'],
    [3, 'DELIVERED'],
  ],
};

function eventsOf(scenario: Scenario, random: Random, startAt: number): SimulatedEvent[] {
  const [from, to] = [pick(random, hubs), pick(random, hubs)];
  let at = startAt;
  return ways[scenario].map(([hours, happening], n, all) => {
    at += Math.round(hours * hour * (0.8 + 0.4 * random()));
    // Whole seconds: not every format has more.
    at -= at % 1_000;
    const wrong = scenario === 'false-zone' && (happening === 'DEPARTED' || happening === 'ARRIVED') ? 8 * hour : 0;
    return { id: `${n}-${Math.floor(random() * 1e9)}`, happening, at: at + wrong, hub: n < all.length / 2 ? from : to };
  });
}
