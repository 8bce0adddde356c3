/** Real servers without Docker: a throw-away kit of test/servers. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Kit {
  /** Where those of the servers are that answer: `POSTGRES_URL`, ... */
  variables: Record<string, string>;
  /** Stops and deletes it. */
  giveBack(): Promise<void>;
}

/** Lends the servers, to be called in the project's folder. The kit lasts until `giveBack`, or this process's end. */
export async function borrow(names: string[], env: NodeJS.ProcessEnv = process.env): Promise<Kit> {
  // In a process group of its own: Ctrl-C must not end it before those who use it have ended.
  const lender = spawn('test/servers/servers', ['lend', ...names], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
    detached: true,
  });
  const ended = new Promise((resolve) => lender.on('exit', resolve).on('error', resolve));
  lender.stdin.on('error', () => {}); // it is gone already
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
