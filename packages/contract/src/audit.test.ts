/** What the audit log has of the contract's methods. */
import { expect, test } from '@jest/globals';
import { contract } from './descriptors.ts';

/** Public commands without an owner that are no acts, and why. */
const exempt: Record<string, string> = {
  ReserveStock: 'shops call it for each order; the log names the caller',
  CommitReservation: 'the same',
  ReleaseReservation: 'the same',
  DispatchShipment: 'the warehouse calls it for each order; the log names the caller',
  DispatchShipmentPart: 'the same',
  SplitShipment: 'the same',
  CorrectTracking: 'the same',
  RecordFailedDelivery: "the carrier's program calls it; the log names the caller",
  DeliverShipment: 'the same',
  RecordTraces: "the carrier's program calls it, hundreds of times a second; each trace is kept as it came",
  StreamTraces: 'the same',
};

test('every public command for which the permission alone decides is an act, or is exempt for a reason', () => {
  const commands = contract()
    .methods()
    .filter(({ access, noSideEffects }) => access.authentication === 'TOKEN' && !noSideEffects)
    .filter(({ access }) => access.ownerField === undefined && !access.ownerInResource);
  expect(
    commands
      .filter(({ audit }) => !audit.act)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(Object.keys(exempt).sort());
});

test('money moved by hand, prices, stock and personal data that operators change are acts', () => {
  const acts = contract()
    .methods()
    .filter(({ audit }) => audit.act)
    .map(({ name }) => name);
  expect(acts).toEqual(
    expect.arrayContaining([
      ...['Deposit', 'Withdraw', 'Transfer', 'FreezeWallet', 'RefundPayment', 'RetryPayment', 'SettlePayment'],
      ...['SetPrice', 'Restock', 'AdjustStock', 'CancelOrder', 'ReturnOrder', 'SettleReturn', 'UpdateCustomer'],
    ]),
  );
});

test('methods whose answers have personal fields at any depth are found', () => {
  const personal = contract()
    .methods()
    .filter(({ audit }) => audit.personal)
    .map(({ name }) => name);
  expect(personal).toEqual(expect.arrayContaining(['GetCustomer', 'UpdateCustomer', 'ListAuditRecords']));
  expect(personal).not.toContain('GetProduct');
});

test('a record is about what the route names, else the ids of the request', () => {
  const of = (name: string) =>
    contract()
      .methods()
      .find((method) => method.name === name)!.audit.resource;
  expect(of('Deposit')).toEqual(['wallet_id']);
  expect(of('Transfer')).toEqual(['wallet_id', 'to_wallet_id']);
  expect(of('CreateWallet')).toEqual(['wallet_id', 'customer_id']);
  expect(of('ListOrders')).toEqual(['customer_id']);
});

test('a record has nothing of the request of a method that needs no token: what it names may be a secret', () => {
  const open = contract()
    .methods()
    .filter(({ access }) => access.authentication === 'NONE');
  expect(open.map(({ name }) => name)).toEqual(expect.arrayContaining(['ShowTrackingPage', 'SyncGuestCart']));
  expect(open.flatMap(({ audit }) => audit.resource)).toEqual([]);
});
