/** Drives Chromium by its DevTools protocol, over a pipe: tabs, contexts, and a network that can be cut. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { until } from './until.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are JSON, and tests read their fields
type Json = any;

export interface Browser {
  /**
   * A new tab. `context`: of whom; the browser's own profile if absent. Tabs of one context share what pages store. `script` runs before
   * those of the page.
   */
  openTab(url: string, options?: { context?: string; script?: string }): Promise<Tab>;
  /** A profile of its own, as another device has. */
  newContext(): Promise<string>;
  /** Ends it as a power cut would. */
  close(): Promise<void>;
}

export interface Tab {
  /** The value of an expression, awaited, in the page. Throws what it throws. */
  evaluate<T = Json>(expression: string): Promise<T>;
  /** Waits until the expression is true: reads it again also while the page is loading. */
  until(expression: string, withinMs?: number): Promise<void>;
  /** A command of the DevTools protocol. */
  send(method: string, parameters?: object): Promise<Json>;
  /** Calls `listener` with what the page gives to the function `name`. */
  listen(name: string, listener: (text: string) => void): Promise<void>;
  /** Cuts the tab's network, or mends it. */
  cutNetwork(isCut: boolean): Promise<void>;
  /** Loads the page again, and waits until it is loaded. */
  reload(): Promise<void>;
  /** Ends the process of the page, as the system does when memory is short. Returns at once. */
  crash(): void;
  close(): Promise<void>;
}

const commandMs = 60_000;
const flags = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  // Tabs in the background work as if a person looked at them.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-features=IntensiveWakeUpThrottling',
  '--remote-debugging-pipe',
];

interface Waiting {
  resolve(result: Json): void;
  reject(error: Error): void;
}

/** Starts the browser at this path. `folder`: of its profile; if absent, one that is deleted in the end. */
export function startBrowser(path: string, folder?: string): Browser {
  const profile = folder ?? mkdtempSync(join(tmpdir(), 'caudal-browser-'));
  const child = spawn(path, [...flags, `--user-data-dir=${profile}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const { send, on } = protocolOver(child.stdio[3] as Writable, child.stdio[4] as Readable);

  const openTab: Browser['openTab'] = async (url, { context, script } = {}) => {
    const place = context ? { browserContextId: context } : {};
    const { targetId } = await send('Target.createTarget', { url: 'about:blank', ...place });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    const command = (method: string, parameters = {}) => send(method, parameters, sessionId);
    const evaluate: Tab['evaluate'] = async (expression) => {
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails: trouble } = await command('Runtime.evaluate', options);
      if (trouble) throw new Error(trouble.exception?.description ?? trouble.exception?.value ?? trouble.text);
      return result.value;
    };
    const load = async (method: string, parameters = {}) => {
      let isLoaded = false;
      on('Page.loadEventFired', sessionId).then(() => {
        isLoaded = true;
      });
      const { errorText } = await command(method, parameters);
      if (errorText) throw new Error(`${method} ${url}: ${errorText}`);
      await until(() => isLoaded, commandMs);
    };
    for (const domain of ['Page', 'Runtime', 'Network']) await command(`${domain}.enable`);
    if (script) await command('Page.addScriptToEvaluateOnNewDocument', { source: script });
    await load('Page.navigate', { url });
    return {
      evaluate,
      send: command,
      until: (expression, withinMs = 30_000) => until(() => evaluate(expression).catch(() => false), withinMs),
      async listen(name, listener) {
        await command('Runtime.addBinding', { name });
        on('Runtime.bindingCalled', sessionId, (called) => {
          if (called.name === name) listener(called.payload);
          return false;
        });
      },
      async cutNetwork(isCut) {
        const parameters = { offline: isCut, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
        await command('Network.emulateNetworkConditions', parameters);
      },
      reload: () => load('Page.reload'),
      // The command is never answered: who could answer is gone.
      crash: () => void command('Page.crash').catch(() => {}),
      close: () => send('Target.closeTarget', { targetId }),
    };
  };

  return {
    openTab,
    newContext: async () => (await send('Target.createBrowserContext')).browserContextId,
    async close() {
      if (child.exitCode === null && child.pid) {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }
      if (!folder) rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

/** The protocol: JSON with a zero byte behind each message. */
function protocolOver(output: Writable, input: Readable) {
  const waiting = new Map<number, Waiting>();
  const listeners = new Set<(message: Json) => void>();
  let lastId = 0;
  let rest = '';
  input.setEncoding('utf8');
  input.on('data', (chunk: string) => {
    const messages = (rest + chunk).split('\0');
    rest = messages.pop()!;
    for (const text of messages) {
      const message = JSON.parse(text);
      if (message.id === undefined) for (const listener of listeners) listener(message);
      else if (message.error) waiting.get(message.id)?.reject(new Error(message.error.message));
      else waiting.get(message.id)?.resolve(message.result);
    }
  });
  input.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('The browser has ended.'));
  });
  output.on('error', () => {});

  async function send(method: string, parameters: object = {}, sessionId?: string): Promise<Json> {
    const id = ++lastId;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        timer = setTimeout(() => reject(new Error(`${method} was not answered in ${commandMs} ms.`)), commandMs);
        timer.unref();
        output.write(`${JSON.stringify({ id, method, params: parameters, sessionId })}\0`);
      });
    } finally {
      clearTimeout(timer);
      waiting.delete(id);
    }
  }

  /** Resolves with the next such event of the session of which `isDone` says so: the first one if absent. */
  function on(method: string, sessionId: string, isDone: (parameters: Json) => boolean = () => true): Promise<Json> {
    return new Promise((resolve) => {
      const listener = (message: Json) => {
        if (message.method !== method || message.sessionId !== sessionId || !isDone(message.params)) return;
        listeners.delete(listener);
        resolve(message.params);
      };
      listeners.add(listener);
    });
  }
  return { send, on };
}
