/** The routes to the owners of other streams, and the processes that take no calls for a while: see owners.ts. */
import { ForwardToOwner, type Instance, type Route } from '@caudal/kernel/forward.ts';

/** How long a process is left alone that is gone, or takes no calls. */
const avoidMs = 10_000;
const maxRoutes = 1_024;
const maxAvoided = 256;

export interface Routes {
  /** The way to the stream's owner, as commands leave their handlers with it. */
  to(stream: string): ForwardToOwner | undefined;
  add(stream: string, owner: Instance, untilMs: number): void;
  /** The instances that were found gone. */
  gone(): string[];
}

export interface RoutesOptions {
  elapsed(): number;
  /** The stream's owner is gone or leaves; resolves once it is known who is the next. */
  onLost(stream: string): Promise<unknown>;
}

interface Known {
  /** One for all commands: to make an exception for each would cost more than the rest. */
  forward: ForwardToOwner;
  untilMs: number;
}

export function openRoutes({ elapsed, onLost }: RoutesOptions): Routes {
  const known = new Map<string, Known>();
  const avoided = new Map<string, { gone: boolean; untilMs: number }>();

  function avoid(instance: string, gone: boolean): void {
    prune(avoided, maxAvoided);
    if (avoided.size < maxAvoided) avoided.set(instance, { gone, untilMs: elapsed() + avoidMs });
  }

  /** Before another one is added to a full map. */
  function prune(map: Map<string, { untilMs: number }>, most: number): void {
    if (map.size < most) return;
    for (const [key, { untilMs }] of map) if (elapsed() >= untilMs) map.delete(key);
  }

  function isAvoided(instance: string): boolean {
    return elapsed() < (avoided.get(instance)?.untilMs ?? Number.NEGATIVE_INFINITY);
  }

  return {
    to(stream) {
      const route = known.get(stream);
      if (!route) return undefined;
      if (elapsed() < route.untilMs) return route.forward;
      known.delete(stream);
      return undefined;
    },
    add(stream, { address, instance }, untilMs) {
      prune(known, maxRoutes);
      if (known.size >= maxRoutes || isAvoided(instance)) return;
      const end = () => known.get(stream) === one && known.delete(stream);
      const route: Route = {
        stream,
        address,
        instance,
        answered(ownedMs) {
          if (ownedMs > 0) one.untilMs = Math.max(one.untilMs, elapsed() + ownedMs);
          else end();
        },
        async lost() {
          avoid(instance, true);
          end();
          // The next owner may be known already.
          if (!known.has(stream)) await onLost(stream);
        },
        refused() {
          avoid(instance, false);
          end();
        },
      };
      const one: Known = { forward: new ForwardToOwner(route), untilMs };
      known.set(stream, one);
    },
    gone() {
      const now = elapsed();
      return [...avoided].flatMap(([instance, { gone, untilMs }]) => (gone && now < untilMs ? [instance] : []));
    },
  };
}
