/** Requests about reservations of pieces of two products, of which there are ten each. */

/** Pieces of the products A and B. */
export const lines = (a: bigint, b: bigint) => [
  { productId: 'A', quantity: a },
  { productId: 'B', quantity: b },
];
export const reserving = (reservationId: string, wanted: ReturnType<typeof lines>) => ({
  requestId: '',
  reservationId,
  lines: wanted,
  ttl: { seconds: 60n, nanos: 0 },
  attributes: {},
});
export const about = (reservationId: string, wanted: ReturnType<typeof lines>) => ({
  requestId: '',
  reservationId,
  lines: wanted,
});
export const releasing = (reservationId: string, wanted: ReturnType<typeof lines>) => ({
  ...about(reservationId, wanted),
  reason: 'test',
  committed: false,
});

/** The stock of a product of which nothing is reserved or gone. */
export const untouched = { onHand: 10n, reserved: 0n, open: false };
