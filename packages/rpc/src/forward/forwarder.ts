/** Forwards calls to the owners of their streams, over one connection an owner: see docs/owners.md. */
import type { Instance } from '@caudal/kernel/forward.ts';
import { openPeer, type Peer, type PeerCall, type PeerOutcome, type PeerTrust } from './peer.ts';

/** Owners with a connection at the same time. */
const maxPeers = 64;
/** A connection without calls for this long is closed. */
const idleMs = 60_000;
/** A connection of this age takes no new calls: a server ends connections for their age soon after. */
const maxAgeMs = 200_000;
const sweepEveryMs = 5_000;

export interface OutgoingCall extends PeerCall {
  signal: AbortSignal;
  /** Whether it may be done again elsewhere if the owner does not answer. */
  repeatable: boolean;
}

export interface Forwarder {
  /** Has the call done by another process. */
  forward(to: Instance, call: OutgoingCall): Promise<PeerOutcome>;
  stop(): Promise<void>;
}

interface Kept {
  peer: Peer;
  openedMs: number;
  usedMs: number;
}

/** Opens no connection before the first call. */
export function openForwarder(trust: PeerTrust): Forwarder {
  /** By instance. */
  const kept = new Map<string, Kept>();
  let sweeping: NodeJS.Timeout | undefined;

  /** Its last answers are still received. */
  function retire(instance: string): void {
    kept.get(instance)?.peer.retire();
    kept.delete(instance);
    if (kept.size > 0) return;
    clearInterval(sweeping);
    sweeping = undefined;
  }

  function sweep(): void {
    const now = performance.now();
    for (const [instance, { peer, openedMs, usedMs }] of kept) {
      const idle = peer.waiting() === 0 && now - usedMs >= idleMs;
      if (idle || peer.ended() || now - openedMs >= maxAgeMs) retire(instance);
    }
  }

  function peerOf(to: Instance): Peer | undefined {
    const now = performance.now();
    // One that has ended stays for a moment: it says how to further calls, without another try.
    let one = kept.get(to.instance);
    if (!one) {
      if (kept.size >= maxPeers) return undefined;
      one = { peer: openPeer(to, trust), openedMs: now, usedMs: now };
      kept.set(to.instance, one);
      sweeping ??= setInterval(sweep, sweepEveryMs).unref();
    }
    one.usedMs = now;
    return one.peer;
  }

  return {
    async forward(to, { signal, repeatable, ...call }) {
      const peer = peerOf(to);
      return peer ? peer.call(call, { signal, repeatable }) : { kind: 'refused' };
    },
    async stop() {
      clearInterval(sweeping);
      for (const { peer } of kept.values()) peer.close();
      kept.clear();
    },
  };
}
