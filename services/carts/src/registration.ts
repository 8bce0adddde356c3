/** A customer's cart is made only if the customer is registered. Customers are asked while there is no cart: so once, as a rule. */
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { isCode, notFound } from '@caudal/kernel/errors.ts';
import type { Call, Client } from '@caudal/rpc/types.ts';
import type { CartRow } from './store/cart-store.ts';
import { noCartOfErased } from './store/keys.ts';

export interface Asking {
  customers: Client<CustomerQueryServiceService>;
  customerId: string;
  call: Pick<Call, 'origin' | 'deadline' | 'signal'>;
}

/** What a row that is not there ends a first try with. It reaches no caller. */
const noCart = new Error('There is no cart yet.');

/**
 * Makes a change whose `decide` calls `assertMade` on the customer's row. If there is none, asks whether the customer is registered, and
 * makes the change again. Errors: those of the change and of assertRegistered.
 */
export async function ofRegistered<R>(
  asking: Asking,
  change: (assertMade: (row: Pick<CartRow, 'exists'>) => void) => Promise<R>,
): Promise<R> {
  try {
    return await change(({ exists }) => {
      if (!exists) throw noCart;
    });
  } catch (error) {
    if (error !== noCart) throw error;
  }
  // Not while the row is locked: the answer may take its time.
  await assertRegistered(asking);
  return change(() => {});
}

/** Throws CUSTOMER_NOT_FOUND; CUSTOMER_ERASED; UNAVAILABLE. */
export async function assertRegistered({ customers, customerId, call }: Asking): Promise<void> {
  const { origin, deadline, signal } = call;
  const ask = (readMask: string[] | undefined) =>
    customers.getCustomer({ customerId, readMask }, { origin, deadline, signal });
  try {
    // Nothing personal is asked for, so that no key is needed. A process of version 0.2 does not know the field.
    const { eraseTime } = await ask(['customer_id', 'erase_time']).catch((error) => {
      if (!isCode(error, 'INVALID_ARGUMENT')) throw error;
      return ask(undefined);
    });
    if (eraseTime) throw noCartOfErased(customerId);
  } catch (error) {
    if (isCode(error, 'NOT_FOUND')) throw notFound('customer', customerId);
    throw error;
  }
}
