/** Money is conserved: in each wallet, between wallets, and between payments and their payers. */
import type { LedgerEntry } from '@caudal/service-payments/gateway/sandbox.ts';
import { groupBy, type LogEvent } from './log-events.ts';

/** Whether the event adds its amount to the wallet or subtracts it. */
const directions: Record<string, bigint> = {
  'payments.wallet.deposited.v1': 1n,
  'payments.wallet.withdrawn.v1': -1n,
  'payments.wallet.debited.v1': -1n,
  'payments.wallet.credited.v1': 1n,
  'payments.wallet.transfer_sent.v1': -1n,
  'payments.wallet.transfer_received.v1': 1n,
  'payments.wallet.transfer_returned.v1': 1n,
};

/** Balances add up, and are never below zero. */
export function checkWallets(events: LogEvent[]): string[] {
  const found: string[] = [];
  const wallets = groupBy(
    events.filter(({ entity }) => entity === 'payments.wallet'),
    ({ id }) => id,
  );
  for (const [id, wallet] of wallets) {
    let balance = 0n;
    for (const { type, value, version } of wallet) {
      const direction = directions[type];
      if (direction === undefined) continue;
      balance += direction * value.amount;
      if (balance < 0n) found.push(`${id} is at ${balance} at version ${version}`);
      if (balance !== value.balance)
        found.push(`${id} says ${value.balance} at version ${version}, and has ${balance}`);
    }
  }
  return found;
}

/** A transfer that was sent has arrived or returned, once. */
export function checkTransfers(events: LogEvent[]): string[] {
  const ends = (type: string) =>
    groupBy(
      events.filter((event) => event.type === `payments.wallet.${type}.v1`),
      ({ value }) => value.transferId,
    );
  const [sent, received, returned] = [ends('transfer_sent'), ends('transfer_received'), ends('transfer_returned')];
  const found: string[] = [];
  for (const id of new Set([...sent.keys(), ...received.keys(), ...returned.keys()])) {
    const count = (ended: Map<string, LogEvent[]>) => ended.get(id)?.length ?? 0;
    if (count(sent) !== 1 || count(received) + count(returned) !== 1)
      found.push(`transfer ${id}: ${count(sent)} sent, ${count(received)} received, ${count(returned)} returned`);
    const [from] = sent.get(id) ?? [];
    for (const to of [...(received.get(id) ?? []), ...(returned.get(id) ?? [])]) {
      if (to.value.amount !== from?.value.amount)
        found.push(`transfer ${id}: ${from?.value.amount} became ${to.value.amount}`);
      if (to.value.fromWalletId === undefined && to.id !== from?.id) found.push(`transfer ${id} returned to ${to.id}`);
    }
  }
  return found;
}

/** At most one charge per payment. Money is kept if, and only if, the payment has succeeded and was not undone. */
export function checkPayments(events: LogEvent[], ledger: ReadonlyMap<string, LedgerEntry>): string[] {
  const found: string[] = [];
  const moves = (type: string) =>
    groupBy(
      events.filter((event) => event.type === `payments.wallet.${type}.v1`),
      ({ value }) => value.paymentId,
    );
  const [debited, credited] = [moves('debited'), moves('credited')];
  const payments = groupBy(
    events.filter(({ entity }) => entity === 'payments.payment'),
    ({ id }) => id,
  );
  for (const [id, payment] of payments) {
    const has = (action: string) => payment.filter(({ type }) => type === `payments.payment.${action}.v1`).length;
    const requested = payment.find(({ type }) => type === 'payments.payment.requested.v1')?.value;
    const isCard = requested?.method?.$case === 'cardToken';
    const entry = ledger.get(id);
    const taken = isCard ? (entry?.taken ?? 0) : (debited.get(id)?.length ?? 0);
    const givenBack = isCard ? (entry?.givenBack ?? 0) : (credited.get(id)?.length ?? 0);
    const kept = has('succeeded') === 1 && has('refunded') + has('voided') === 0 ? 1 : 0;
    const ends = ['succeeded', 'failed', 'voided', 'barred'].reduce((sum, action) => sum + has(action), 0);
    if (taken > 1 || givenBack > taken)
      found.push(`payment ${id}: money taken ${taken} times, given back ${givenBack} times`);
    if (taken - givenBack !== kept) found.push(`payment ${id} keeps ${taken - givenBack}, and by its log ${kept}`);
    if (ends !== 1 || has('refunded') > has('succeeded'))
      found.push(`payment ${id} has not one end: ${types(payment)}`);
    const amount = isCard ? (taken ? BigInt(entry!.amount) : undefined) : debited.get(id)?.[0]?.value.amount;
    if (amount !== undefined && amount !== requested?.amount.minorUnits)
      found.push(`payment ${id}: ${amount} was taken for ${requested?.amount.minorUnits}`);
  }
  for (const id of new Set([...debited.keys(), ...credited.keys(), ...ledger.keys()])) {
    if (!payments.has(id)) found.push(`money moved for a payment that is not in the log: ${id}`);
  }
  return found;
}

const types = (events: LogEvent[]) => events.map(({ type }) => type.split('.')[2]).join(', ');
