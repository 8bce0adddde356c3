/** A customer as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { CustomerState } from './domain/customer.ts';

export function customerMessage(
  { customerId, details, verification, eraseTime, createTime, updateTime }: CustomerState,
  version: number,
): Customer {
  const emailVerified = verification.verified;
  return { customerId, ...details, emailVerified, eraseTime, createTime, updateTime, etag: commandEtag(version) };
}
