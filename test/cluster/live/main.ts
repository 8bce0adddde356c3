/**
 * `npm run test:cluster`: installs Caudal on a real Kubernetes, and does what its operators and nodes will do to it.
 * The cluster is that of a kubeconfig, or one node that test/cluster/node starts on this machine and removes again. The
 * stores run on this machine.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { root } from '../../e2e/part.ts';

const usage = `Usage: npm run test:cluster [-- --kubeconfig FILE --image NAME --host ADDRESS] [--build-minutes N] [--keep]

  Without --kubeconfig a Kubernetes node and Caudal's image are built on this machine (Linux, root; some 15 minutes the
  first time). The node is removed after the tests.

  --kubeconfig FILE  your own cluster: kind, or any other; it needs KEDA and metrics-server
  --image NAME       Caudal's image in it: kind load docker-image caudal:test
  --host ADDRESS     this machine's address for its pods: for kind, the gateway of Docker's network "kind"
  --build-minutes N  how many minutes the node's build may take: 35 if absent
  --keep             leave the node up afterwards
  --help             this

Exit code 0: everything held. 1: something did not hold. 2: wrong arguments. 3: this machine can't run a cluster, for the
reason that is printed.`;

/** Passed to the tests as variables. */
interface Target {
  KUBECONFIG: string;
  PATH: string;
  CLUSTER_HOST_IP: string;
  CLUSTER_IMAGE: string;
}

const node = join(root, 'test/cluster/node/cluster');
const image = 'localhost/caudal:test';
const fail = (code: number, text: string): never => {
  console.error(text);
  process.exit(code);
};

let child: ChildProcess | undefined;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    interrupted = true;
    child?.kill(signal);
  });

/** Runs the command with its output visible, for `timeout` ms at most; returns its exit code. */
async function run(
  command: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; timeout?: number } = {},
): Promise<number> {
  if (interrupted) return 1;
  child = spawn(command, args, { stdio: 'inherit', ...options });
  return new Promise((resolve, reject) => child!.on('error', reject).on('close', (code) => resolve(code ?? 1)));
}

/** Runs the command; returns its output. */
async function told(command: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(command, args, { maxBuffer: 2 ** 24 })).stdout.trim();
}

/** This machine can't run a cluster. */
class NoCluster extends Error {
  constructor(why: string) {
    super(`No cluster here: ${why}`);
  }
}

/** Starts the node and loads the image into it. Throws NoCluster. */
async function makeNode({ buildMinutes }: { buildMinutes: number }): Promise<Target> {
  await told(node, 'possible').catch(({ stdout = '', stderr = '' }: { stdout?: string; stderr?: string }) => {
    throw new NoCluster(`${stdout}${stderr}`.trim());
  });
  for (const step of ['install', 'build'])
    if ((await run(node, [step], { timeout: buildMinutes * 60_000 })) !== 0)
      throw new NoCluster(`"cluster ${step}" failed, or took longer than ${buildMinutes} minutes.`);
  if ((await run(node, ['up'])) !== 0) throw new NoCluster('"cluster up" failed.');
  console.log('Building the image');
  const base = ['BUILD_IMAGE=localhost/node:24', 'RUNTIME_IMAGE=localhost/node-runtime:24'];
  const archive = await told(node, 'image', image, root, ...base.flatMap((argument) => ['--build-arg', argument]));
  await told(node, 'load', archive);
  const script = 'eval "$("$0" env)"; printf "%s\\n" "$KUBECONFIG" "$PATH" "$CLUSTER_HOST_IP"';
  const [kubeconfig, path, host] = (await told('bash', '-c', script, node)).split('\n');
  return { KUBECONFIG: kubeconfig!, PATH: path!, CLUSTER_HOST_IP: host!, CLUSTER_IMAGE: image };
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string' },
      image: { type: 'string' },
      host: { type: 'string' },
      'build-minutes': { type: 'string', default: '35' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.kubeconfig && !(values.image && values.host))
    throw new Error('--kubeconfig needs --image and --host as well.');
  const buildMinutes = Number(values['build-minutes']);
  if (!(buildMinutes > 0)) throw new Error('--build-minutes must be a number of minutes, such as 20.');
  return { ...values, buildMinutes };
}

let given: ReturnType<typeof readArguments>;
try {
  given = readArguments();
} catch (error) {
  given = fail(2, `${(error as Error).message}\n\n${usage}`);
}
if (given.help) {
  console.log(usage);
  process.exit(0);
}

const { kubeconfig, host } = given;
let code = 1;
try {
  const target: Target = kubeconfig
    ? { KUBECONFIG: kubeconfig, PATH: process.env.PATH!, CLUSTER_HOST_IP: host!, CLUSTER_IMAGE: given.image! }
    : await makeNode(given);
  code = await run(process.execPath, [join(root, 'scripts/test.js'), '--config', 'test/cluster/live/jest.config.js'], {
    env: { ...process.env, ...target },
  });
} catch (error) {
  console.error((error as Error).message);
  if (error instanceof NoCluster && !interrupted) code = 3;
} finally {
  if (!kubeconfig && !given.keep) {
    interrupted = false;
    await run(node, ['down']);
  }
}
process.exit(code);
