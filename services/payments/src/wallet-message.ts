/** A wallet as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { Wallet } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import type { WalletState } from './domain/wallet.ts';

export function walletMessage(state: WalletState, version: number): Wallet {
  const { walletId, customerId, balance, currency, frozen, createTime, updateTime } = state;
  return {
    walletId,
    customerId,
    balance: { minorUnits: balance, currency },
    frozen,
    createTime,
    updateTime,
    etag: commandEtag(version),
  };
}
