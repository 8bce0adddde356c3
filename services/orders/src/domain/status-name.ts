/** The name of an order's status as the contract spells it, for the metadata of refusals. */
export function statusName(status: string): string {
  return `ORDER_STATUS_${status.toUpperCase()}`;
}
