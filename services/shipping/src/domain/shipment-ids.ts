/**
 * Ids of shipments. The first of an order has the order's id; the others have it with a number from 2 to 99, `o1~2`. No order's
 * id has a `~`, so no order can take the id of another one's shipment.
 */

/** The id of the order's stream of shipments, which is also the id of its first one. */
export function streamIdOf(shipmentId: string): string {
  const end = shipmentId.indexOf('~');
  return end < 0 ? shipmentId : shipmentId.slice(0, end);
}

/** The id with the lowest number that is not taken yet. */
export function freeShipmentId(streamId: string, taken: readonly string[]): string {
  for (let number = 2; ; number++) {
    const id = `${streamId}~${number}`;
    if (!taken.includes(id)) return id;
  }
}
