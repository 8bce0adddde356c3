/** Points for property tests: anywhere, and often where it matters. */
import fc from 'fast-check';
import type { Point } from '../domain/places/point.ts';

const border = fc.constantFrom(0, 1, -1, 2, -2);
const latitude = fc.oneof(
  fc.integer({ min: -900_000_000, max: 900_000_000 }),
  fc
    .tuple(fc.constantFrom(-900_000_000, 900_000_000, 0), fc.integer({ min: -20_000, max: 20_000 }))
    .map(([at, by]) => at + by),
  fc.tuple(fc.constantFrom(-900_000_000, 900_000_000, 0, 457_640_000), border).map(([at, by]) => at + by),
);
const longitude = fc.oneof(
  fc.integer({ min: -1_800_000_000, max: 1_800_000_000 }),
  fc
    .tuple(fc.constantFrom(-1_800_000_000, 1_800_000_000, 0), fc.integer({ min: -20_000, max: 20_000 }))
    .map(([at, by]) => at + by),
  fc.tuple(fc.constantFrom(-1_800_000_000, 1_800_000_000, 0, 48_357_000), border).map(([at, by]) => at + by),
);
const within = (value: number, most: number) => Math.max(-most, Math.min(most, value));

/** As the contract allows them. */
export const points: fc.Arbitrary<Point> = fc
  .tuple(latitude, longitude)
  .map(([north, east]) => ({ latitudeE7: within(north, 900_000_000), longitudeE7: within(east, 1_800_000_000) }));
