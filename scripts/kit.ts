/** Real servers without Docker: a temporary kit of test/servers. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Kit {
  /** The URLs of the servers that have started: `POSTGRES_URL`, ... */
  variables: Record<string, string>;
  /** Stops the servers and deletes the kit. */
  giveBack(): Promise<void>;
}

/**
 * Borrows a kit of these servers. The working directory must be the project's folder. The kit lasts until `giveBack`,
 * or until this process ends.
 */
export async function borrow(names: string[], env: NodeJS.ProcessEnv = process.env): Promise<Kit> {
  // In a process group of its own: Ctrl-C must not end the kit before the programs that use it have ended.
  const lender = spawn('test/servers/servers', ['lend', ...names], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
    detached: true,
  });
  const ended = new Promise((resolve) => lender.on('exit', resolve).on('error', resolve));
  lender.stdin.on('error', () => {}); // the lender has ended already
  const variables: Record<string, string> = {};
  for await (const line of createInterface({ input: lender.stdout })) {
    if (line === '') break;
    variables[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1);
  }
  return {
    variables,
    async giveBack() {
      lender.stdin.end();
      await ended;
    },
  };
}
