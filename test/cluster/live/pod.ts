/** Pods that run a script of `pods/` in Caudal's image, within the cluster. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../e2e/wait.ts';
import { apply, clusterTarget, kubectl, lookEveryMs } from './cluster.ts';
import { name, type Release } from './release.ts';

const folder = join(import.meta.dirname, 'pods');

/** Starts the script; returns the pod's name. */
export async function startPod({ namespace, token }: Release, script: string): Promise<string> {
  const pod = `${script}-${Date.now().toString(36)}`;
  const files = Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
  await apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'scripts', namespace }, data: files },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod, namespace, labels: { app: 'client' } },
      spec: {
        restartPolicy: 'Never',
        enableServiceLinks: false,
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'client',
            image: clusterTarget().image,
            // Under /app, where Node finds Caudal's packages.
            command: ['node', `/app/client/${script}.ts`],
            env: [
              { name: 'TOKEN', value: token },
              { name: 'RELEASE', value: name },
            ],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            volumeMounts: [{ name: 'scripts', mountPath: '/app/client' }],
          },
        ],
        volumes: [{ name: 'scripts', configMap: { name: 'scripts' } }],
      },
    },
  );
  return pod;
}

/**
 * Waits at most `seconds` for the script's end; returns the last line of its output. Throws, with all lines, if it
 * failed.
 */
export async function ended(namespace: string, pod: string, seconds: number): Promise<string> {
  const phase = () => kubectl(['get', 'pod', pod, '-n', namespace, '-o', 'jsonpath={.status.phase}']);
  const logs = () => kubectl(['logs', pod, '-n', namespace]);
  const over = (now: string) => now === 'Succeeded' || now === 'Failed';
  const last = await until(`the pod ${pod} ends`, phase, over, seconds * 1_000, lookEveryMs).catch(String);
  if (last !== 'Succeeded') throw new Error(`The pod ${pod}: ${last}\n${await logs()}`);
  return (await logs()).trim().split('\n').at(-1)!;
}

/** The last line of a pod's output; undefined if there is none yet. */
export async function lastLine(namespace: string, pod: string): Promise<string | undefined> {
  return (await kubectl(['logs', pod, '-n', namespace, '--tail=1']).catch(() => '')).trim() || undefined;
}

export const endPod = (namespace: string, pod: string) => kubectl(['delete', 'pod', pod, '-n', namespace]);
