/** Which faults there are, and when: drawn from the seed before anything starts. */
import { createRandom, type Random } from '@caudal/testing/random.ts';
import type { ServerName } from '@caudal/testing/servers.ts';

export type Fault =
  /** A process is killed with -9, and started again after a while. */
  | { kind: 'kill'; part: string }
  /** It ends by SIGTERM, as in a deployment, and is started again. */
  | { kind: 'restart'; part: string }
  /** It is stopped (SIGSTOP), with everything that it holds. */
  | { kind: 'pause'; part: string }
  /** A server is killed with -9, and started again after a while. */
  | { kind: 'kill-server'; server: ServerName }
  /** The connections of one process to one server are cut; new ones are refused for a while. */
  | { kind: 'cut'; part: string; server: ServerName }
  /** The connections stay open, and transmit nothing. */
  | { kind: 'silence'; part: string; server: ServerName }
  | { kind: 'delay'; part: string; server: ServerName; ms: number }
  /** The card gateway fails, takes money without an answer, or refuses. */
  | { kind: 'gateway'; mode: 'fail' | 'timeout' | 'refuse' };

export interface PlannedFault {
  /** From the beginning of the fault before, in milliseconds. */
  waitMs: number;
  durationMs: number;
  fault: Fault;
}

export interface Targets {
  parts: string[];
  servers: ServerName[];
  links: { part: string; server: ServerName }[];
}

/** The kinds with their shares of all faults, and how many seconds they last. */
const kinds = [
  { kind: 'kill', share: 24, from: 0, to: 4 },
  { kind: 'restart', share: 6, from: 0, to: 2 },
  { kind: 'pause', share: 14, from: 5, to: 30 },
  { kind: 'kill-server', share: 12, from: 0, to: 5 },
  { kind: 'cut', share: 20, from: 0, to: 8 },
  { kind: 'silence', share: 12, from: 1, to: 15 },
  { kind: 'delay', share: 8, from: 3, to: 15 },
  { kind: 'gateway', share: 4, from: 1, to: 6 },
] as const;

/** An endless sequence of faults. */
export function* planFaults(seed: number, targets: Targets): Generator<PlannedFault, never> {
  const random = createRandom(seed, 'faults');
  const bag = kinds.flatMap((kind) => Array.from({ length: kind.share }, () => kind));
  for (;;) {
    const { kind, from, to } = random.pick(bag);
    yield {
      waitMs: random.int(1_000, 6_000),
      durationMs: random.int(from * 1_000, to * 1_000),
      fault: draw(kind, random, targets),
    };
  }
}

function draw(kind: Fault['kind'], random: Random, { parts, servers, links }: Targets): Fault {
  switch (kind) {
    case 'kill':
    case 'restart':
    case 'pause':
      return { kind, part: random.pick(parts) };
    case 'kill-server':
      return { kind, server: random.pick(servers) };
    case 'cut':
    case 'silence':
      return { kind, ...random.pick(links) };
    case 'delay':
      return { kind, ...random.pick(links), ms: random.int(20, 500) };
    case 'gateway':
      return { kind, mode: random.pick(['fail', 'timeout', 'refuse'] as const) };
  }
}

/** The target of a fault. Two faults at a time on the same target would disturb each other. */
export function targetOf(fault: Fault): string {
  if ('part' in fault && 'server' in fault) return `${fault.part} to ${fault.server}`;
  if ('part' in fault) return fault.part;
  return 'server' in fault ? fault.server : 'gateway';
}

/** A readable form: `pause command-1 for 7.3 s`. */
export function describeFault({ fault, durationMs }: PlannedFault): string {
  const how = 'ms' in fault ? ` by ${fault.ms} ms` : 'mode' in fault ? ` (${fault.mode})` : '';
  return `${fault.kind} ${targetOf(fault)}${how} for ${(durationMs / 1_000).toFixed(1)} s`;
}
