/** The cluster under test: kubectl and helm, as an operator uses them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { tool } from '../chart.ts';

export interface ClusterTarget {
  /** The address of this machine, as pods reach it. */
  host: string;
  image: string;
}

/** The interval between two checks of the cluster: each takes kubectl a fifth of a second of processor time. */
export const lookEveryMs = 1_000;

/** The cluster that `npm run test:cluster` has prepared. Throws if there is none. */
export function clusterTarget(): ClusterTarget {
  const { CLUSTER_HOST_IP: host, CLUSTER_IMAGE: image } = process.env;
  if (!host || !image) throw new Error('There is no cluster: "npm run test:cluster" makes one.');
  return { host, image };
}

/** A failed command, with its output. */
export class CommandError extends Error {
  constructor(
    command: string,
    { code, stdout = '', stderr = '' }: { code?: number; stdout?: string; stderr?: string },
  ) {
    super(`${command} failed (${code}): ${`${stdout}\n${stderr}`.trim()}`);
  }
}

async function run(command: string, args: string[], { input, seconds }: RunOptions): Promise<string> {
  const running = promisify(execFile)(command, args, { maxBuffer: 2 ** 26, timeout: seconds * 1_000 });
  running.child.stdin?.end(input ?? '');
  try {
    return (await running).stdout;
  } catch (error) {
    throw new CommandError(`${command.split('/').at(-1)} ${args.join(' ')}`, error as object);
  }
}

interface RunOptions {
  input?: string;
  /** After this time the command is ended, and has failed. */
  seconds: number;
}

/** Runs kubectl with these arguments; returns its output. */
export const kubectl = (args: string[], options: Partial<RunOptions> = {}): Promise<string> =>
  run('kubectl', args, { seconds: 60, ...options });

const helmPath = () => {
  const found = tool('helm');
  if ('missing' in found) throw new Error(found.missing);
  return found.path;
};

/** Runs helm with these arguments; returns its output. */
export const helm = (args: string[], options: Partial<RunOptions> = {}): Promise<string> =>
  run(helmPath(), args, { seconds: 300, ...options });

/** Creates the resources, or changes them to these. */
export async function apply(...manifests: object[]): Promise<void> {
  await kubectl(['apply', '--filename', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }),
  });
}

export interface PodStatus {
  name: string;
  ready: boolean;
  ending: boolean;
  restarts: number;
  phase: string;
}

/** The pods of a namespace, or those of one workload. */
export async function pods(namespace: string, component?: string): Promise<PodStatus[]> {
  const selector = component ? [`--selector=app.kubernetes.io/component=${component}`] : [];
  const { items } = JSON.parse(await kubectl(['get', 'pods', '-n', namespace, ...selector, '-o', 'json'])) as {
    // biome-ignore lint/suspicious/noExplicitAny: a Pod, of which a few fields are read
    items: any[];
  };
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    ready: status.conditions?.some(({ type, status: is }: Condition) => type === 'Ready' && is === 'True') ?? false,
    ending: metadata.deletionTimestamp !== undefined,
    restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
    phase: status.phase,
  }));
}

interface Condition {
  type: string;
  status: string;
}
