/**
 * The policies of `balancing.ts` as a load balancer of grpc-js: a connection to each address, as its own round_robin has, and a choice
 * among those that are up. It uses grpc-js's experimental API, on which its other policies are built, too (README, Choices).
 */
import { connectivityState, experimental, status } from '@grpc/grpc-js';
import type { Balancing } from './balancing.ts';
import { type Address, type Choose, choiceOf } from './choices.ts';

const policyName = 'caudal_balancing';

/** How long a refused call counts as one in flight: an address that refuses at once would else always have the fewest. */
const refusedMs = 1_000;

interface Child extends Address {
  leaf: experimental.LeafLoadBalancer;
}

/** The element of `loadBalancingConfig` in a service config. */
export function balancingConfig(balancing: Balancing): object {
  if (balancing.policy === 'round-robin') return { round_robin: {} };
  if (!experimental.isLoadBalancerNameRegistered(policyName))
    experimental.registerLoadBalancerType(policyName, Balancer, BalancerConfig);
  return { [policyName]: balancing };
}

class BalancerConfig implements experimental.TypedLoadBalancingConfig {
  readonly balancing: Balancing;

  constructor(balancing: Balancing) {
    this.balancing = balancing;
  }

  /** `json` is what `balancingConfig` has made. */
  static createFromJson(json: Balancing): BalancerConfig {
    return new BalancerConfig(json);
  }

  getLoadBalancerName(): string {
    return policyName;
  }

  toJsonObject(): object {
    return { [policyName]: this.balancing };
  }
}

type Endpoints = Parameters<experimental.LoadBalancer['updateAddressList']>[0];
type ChannelOptions = Parameters<experimental.LoadBalancer['updateAddressList']>[2];

class Balancer implements experimental.LoadBalancer {
  readonly #channel: experimental.ChannelControlHelper;
  readonly #ofChildren: experimental.ChannelControlHelper;
  readonly #children = new Map<string, Child>();
  #choose: Choose = choiceOf({ policy: 'round-robin' });
  #chosenBy = '';
  #state = connectivityState.IDLE;
  #lastError = 'none';
  /** While children are made and ended, each of which reports a state. */
  #paused = false;

  constructor(channel: experimental.ChannelControlHelper) {
    this.#channel = channel;
    this.#ofChildren = experimental.createChildChannelControlHelper(channel, {
      updateState: (state, _, error) => {
        // A connection was lost: DNS may have other addresses by now.
        if (this.#state === connectivityState.READY && state !== connectivityState.READY) channel.requestReresolution();
        if (error) this.#lastError = error;
        this.#report();
      },
    });
  }

  updateAddressList(
    endpoints: Endpoints,
    config: experimental.TypedLoadBalancingConfig,
    options: ChannelOptions,
    note: string,
  ): boolean {
    if (!(config instanceof BalancerConfig)) return false;
    if (!endpoints.ok) {
      // Known addresses are used on while DNS fails.
      if (this.#children.size === 0) this.#fail(endpoints.error);
      return true;
    }
    const policy = JSON.stringify(config.balancing);
    if (policy !== this.#chosenBy) [this.#choose, this.#chosenBy] = [choiceOf(config.balancing), policy];
    this.#paused = true;
    const named = new Map(endpoints.value.map((endpoint) => [nameOf(endpoint), endpoint]));
    for (const [name, { leaf }] of this.#children)
      if (!named.has(name)) {
        leaf.destroy();
        this.#children.delete(name);
      }
    for (const [name, endpoint] of named) {
      if (this.#children.has(name)) continue;
      const leaf = new experimental.LeafLoadBalancer(endpoint, this.#ofChildren, options, note);
      this.#children.set(name, { name, leaf, inFlight: 0, credit: 0 });
      leaf.startConnecting();
    }
    this.#paused = false;
    if (named.size > 0) this.#report();
    else this.#fail({ details: `No addresses resolved. Resolution note: ${note}` });
    return named.size > 0;
  }

  exitIdle(): void {
    // Children are kept connected, so that it is idle only without addresses.
  }

  resetBackoff(): void {
    // It has none: its children have.
  }

  destroy(): void {
    this.#paused = true;
    for (const { leaf } of this.#children.values()) leaf.destroy();
    this.#children.clear();
  }

  getTypeName(): string {
    return policyName;
  }

  /** Reports what all children together are: ready if one is, else connecting if one is. */
  #report(): void {
    if (this.#paused) return;
    const children = [...this.#children.values()];
    const of = (state: connectivityState) => children.filter(({ leaf }) => leaf.getConnectivityState() === state);
    const ready = of(connectivityState.READY);
    if (ready.length > 0) this.#update(connectivityState.READY, pickerOf(ready, this.#choose));
    else if (of(connectivityState.CONNECTING).length > 0)
      this.#update(connectivityState.CONNECTING, new experimental.QueuePicker(this));
    else if (of(connectivityState.TRANSIENT_FAILURE).length > 0)
      this.#fail({ details: `No connection established. Last error: ${this.#lastError}` });
    else this.#update(connectivityState.IDLE, new experimental.QueuePicker(this));
    for (const { leaf } of of(connectivityState.IDLE)) leaf.exitIdle();
  }

  #fail(error: { details: string }): void {
    this.#update(connectivityState.TRANSIENT_FAILURE, new experimental.UnavailablePicker(error), error.details);
  }

  #update(state: connectivityState, picker: experimental.Picker, error: string | null = null): void {
    this.#state = state;
    this.#channel.updateState(state, picker, error);
  }
}

const nameOf = ({ addresses }: experimental.Endpoint) =>
  addresses.map(experimental.subchannelAddressToString).join(' ');

function pickerOf(ready: Child[], choose: Choose): experimental.Picker {
  return {
    pick(call) {
      const child = choose(ready, (name) => {
        const [value] = call.metadata.get(name);
        return typeof value === 'string' ? value : undefined;
      });
      return counted(child, child.leaf.getPicker().pick(call));
    },
  };
}

/**
 * Counts the call from its choice, since many may be chosen in one turn of the loop, to its end. Of a call that ends before it has
 * started grpc-js reports nothing: it counts in this turn only.
 */
function counted(child: Child, picked: experimental.PickResult): experimental.PickResult {
  if (picked.pickResultType !== experimental.PickResultType.COMPLETE) return picked;
  let state: 'chosen' | 'left' | 'started' = 'chosen';
  const leave = () => {
    child.inFlight--;
  };
  child.inFlight++;
  setImmediate(() => {
    if (state !== 'chosen') return;
    state = 'left';
    leave();
  });
  return {
    ...picked,
    onCallStarted() {
      picked.onCallStarted?.();
      if (state === 'left') child.inFlight++;
      state = 'started';
    },
    onCallEnded(code, details, metadata) {
      picked.onCallEnded?.(code, details, metadata);
      if (state !== 'started') return;
      const isRefused = code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED;
      if (isRefused) setTimeout(leave, refusedMs).unref();
      else leave();
    },
  };
}
