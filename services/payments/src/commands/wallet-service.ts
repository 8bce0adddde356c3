/** Moves money: caudal.payments.v1.WalletService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Wallet, WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { CaudalError, isCode, refused } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import { type Call, type Client, service } from '@caudal/rpc/types.ts';
import type { WalletContext } from '../domain/claims.ts';
import { type WalletEvent, type WalletState, walletDecider } from '../domain/wallet.ts';
import { deposit, freeze, openWallet, unfreeze, withdraw } from '../domain/wallet-decisions.ts';
import {
  assertReceivable,
  type Discretion,
  sendTransfer,
  type Transfer,
  transferAtOnce,
} from '../domain/wallet-transfers.ts';
import { walletMessage } from '../wallet-message.ts';
import type { FourEyes } from './four-eyes.ts';
import { newIdOf } from './ids-of-calls.ts';

export interface WalletServiceDependencies {
  aggregates: Aggregates;
  ids: IdSource;
  /** Whether the streams of these wallets are in one log. Then a transfer between them is one append. */
  shareLog(fromWalletId: string, toWalletId: string): boolean;
  /** Asked whether a customer was erased. */
  customers: Client<CustomerQueryServiceService>;
  /** Asks for a second person where one is needed; absent: never. */
  eyes?: FourEyes;
}

export function walletService({ aggregates, ids, shareLog, customers, eyes }: WalletServiceDependencies) {
  return service(WalletServiceService, {
    async createWallet({ walletId: chosen, customerId, currency }, call) {
      const walletId = chosen || (newIdOf(call.commandId, 'wallet') ?? ids());
      const refusal = await whyNoWallet(customers, customerId, call);
      return change(walletId, call, (state) => {
        const events = openWallet(state, { walletId, customerId, currency });
        // Only what makes a wallet is refused: a repeat of a call that has made one gets its answer.
        if (refusal && events.length > 0) throw refusal;
        return events;
      });
    },
    async deposit({ walletId, amount, reference }, call) {
      if (eyes?.needs('deposit')) {
        const act = { act: 'deposit', walletId, amount, note: reference } as const;
        return eyes.ask(call, act, (refuse) => change(walletId, call, refuse));
      }
      return change(walletId, call, (state) => deposit(state, { walletId, amount: amount!, reference }));
    },
    async withdraw({ walletId, amount, reference }, call) {
      if (await isByHand('withdrawal', walletId, call)) {
        const act = { act: 'withdrawal', walletId, amount, note: reference } as const;
        return eyes!.ask(call, act, (refuse) => changeOwn(walletId, call, refuse));
      }
      return changeOwn(walletId, call, (state) => withdraw(state, { walletId, amount: amount!, reference }));
    },
    async transfer(request, call) {
      const { walletId: fromWalletId, toWalletId, amount, reference } = request;
      const transfer = {
        transferId: newIdOf(call.commandId, 'transfer') ?? ids(),
        fromWalletId,
        toWalletId,
        amount: amount!,
        reference,
        // Asked only if the receiver can't take it.
        get discreet() {
          return !mayUseAll(call);
        },
      };
      if (fromWalletId !== toWalletId && (await isByHand('transfer', fromWalletId, call))) {
        const act = { act: 'transfer', walletId: fromWalletId, toWalletId, amount, note: reference } as const;
        return eyes!.ask(call, act, (refuse) => changeOwn(fromWalletId, call, refuse));
      }
      if (fromWalletId !== toWalletId && shareLog(fromWalletId, toWalletId)) return transferWithin(transfer, call);
      const { state: receiver } = await aggregates.load(walletDecider, toWalletId);
      return changeOwn(fromWalletId, call, (state, context) => {
        const sent = sendTransfer(state, context, transfer);
        // Refuses at once what would return the money later; after the sender was judged, who so learns nothing of other wallets.
        if (sent.length > 0) assertReceivable(receiver, transfer);
        return sent;
      });
    },
    freezeWallet: ({ walletId, reason }, call) =>
      change(walletId, call, (state) => freeze(state, { walletId, reason })),
    unfreezeWallet: ({ walletId }, call) => change(walletId, call, (state) => unfreeze(state, walletId)),
  });

  /**
   * Whether the call needs a second person: it may do it to wallets of all owners, and does it to a wallet of another one; or another
   * person has the secret of the API key, and acts as its owner.
   */
  async function isByHand(act: 'withdrawal' | 'transfer', walletId: string, call: Call): Promise<boolean> {
    if (!eyes?.needs(act)) return false;
    if (call.caller.keyMaker !== undefined) return true;
    if (!mayUseAll(call)) return false;
    return (await aggregates.load(walletDecider, walletId)).state.customerId !== call.caller.subject;
  }

  /** A transfer between wallets of one log. The sender's owner is asked for before anything is learned of the receiver. */
  async function transferWithin(transfer: Transfer & Discretion, call: Call): Promise<Wallet> {
    const { fromWalletId, toWalletId } = transfer;
    const { authorize, commandId, forwardable, origin, signal } = call;
    const { reply, streams } = await aggregates.executeUnit({
      parts: [
        { decider: walletDecider, id: fromWalletId, authorize },
        { decider: walletDecider, id: toWalletId },
      ],
      decide: ([from, to]) => transferAtOnce(from!, to!, transfer),
      reply: ([from]) => walletMessage(from!.state, from!.version),
      replyCodec: Wallet,
      ...{ commandId, forwardable, origin, signal },
    });
    // The consistency token is about the sender's wallet: that of the receiver would tell how busy it is.
    call.wrote(streams[0]!.stream, streams[0]!.version);
    return reply;
  }

  type Decide = (state: WalletState, context: WalletContext) => WalletEvent[];

  /** A change of the caller's own wallet, or of any wallet with that permission. */
  function changeOwn(walletId: string, call: Call, decide: Decide): Promise<Wallet> {
    return change(walletId, call, decide, call.authorize);
  }

  function change(walletId: string, call: Call, decide: Decide, authorize?: Call['authorize']): Promise<Wallet> {
    return executeFor(call, aggregates, {
      decider: walletDecider,
      id: walletId,
      authorize,
      decide,
      reply: ({ state, version }) => walletMessage(state, version),
      replyCodec: Wallet,
    });
  }
}

/** Whether the caller may use the wallets of all owners. */
function mayUseAll(call: Call): boolean {
  try {
    call.authorize(undefined);
    return true;
  } catch (error) {
    if (isCode(error, 'PERMISSION_DENIED')) return false;
    throw error;
  }
}

/**
 * Why the customer may have no other wallet: erased, or that can't be found out now; undefined: nothing is against it. An id that is not
 * registered was not erased.
 */
async function whyNoWallet(
  customers: Client<CustomerQueryServiceService>,
  customerId: string,
  { origin, deadline, signal }: Call,
): Promise<CaudalError | undefined> {
  try {
    // Nothing personal is asked for, so that no key is needed.
    const readMask = ['customer_id', 'erase_time'];
    const { eraseTime } = await customers.getCustomer({ customerId, readMask }, { origin, deadline, signal });
    if (eraseTime === undefined) return undefined;
    return refused('CUSTOMER_ERASED', `The customer "${customerId}" was erased, and can't have another wallet.`);
  } catch (error) {
    // A process of version 0.2 does not know the field, and erases nobody.
    if (isCode(error, 'NOT_FOUND', 'INVALID_ARGUMENT')) return undefined;
    if (error instanceof CaudalError) return error;
    throw error;
  }
}
