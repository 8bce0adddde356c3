/** The `caudal` command as its program declares it: what may be written behind it. */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import type { startCommand } from '@caudal/cli/commands/start.ts';
import { root } from './pages.ts';

type Command = ReturnType<typeof startCommand>;

/** Its subcommands, by name. */
export async function subcommands(): Promise<Map<string, Command>> {
  const files = globSync('apps/cli/src/commands/*.ts', { cwd: root }).sort();
  const made = await Promise.all(
    files.map(async (file) => {
      const module = (await import(join(root, file))) as Record<string, unknown>;
      const [name, make] = Object.entries(module).find(([name]) => name.endsWith('Command')) ?? [];
      if (!name) throw new Error(`${file} exports no ...Command`);
      return (make as () => Command)();
    }),
  );
  return new Map(made.map((command) => [command.name(), command]));
}

const inLine = /(?:^|[\s(;])(?:bin\/caudal|-- caudal)(?: ([^|#;)&>]*))?/g;
const alone = /^(?:[A-Z_]+=\S+ )*caudal(?: (.*))?$/;

/** The words behind each `bin/caudal` of a script, and behind `kubectl exec ... -- caudal`. */
export function callsIn(script: string): string[][] {
  return script
    .replaceAll('\\\n', ' ')
    .split('\n')
    .flatMap((line) => [...line.matchAll(inLine)].map(([, words = '']) => wordsOf(words)));
}

/** The same of code in running text, where `caudal` may stand alone: `caudal jobs list`. */
export function callsInline(code: string): string[][] {
  const [found, words = ''] = alone.exec(code) ?? [];
  return found === undefined ? callsIn(code) : [wordsOf(words)];
}

const wordsOf = (text: string) => text.trim().split(/\s+/).filter(Boolean);

/** What is wrong with the words behind `caudal`; undefined if nothing. `complete`: all that it needs is there. */
export function faultOf(words: string[], known: Map<string, Command>, { complete = false } = {}): string | undefined {
  const [first, ...rest] = words;
  if (first === undefined || first === 'help' || first.startsWith('-')) return undefined;
  let command = known.get(first);
  if (!command) return `there is no command "${first}"`;
  let left = rest;
  if (command.commands.length > 0 && left[0] && !left[0].startsWith('-')) {
    const below: Command | undefined = command.commands.find((each) => each.name() === left[0]);
    if (!below) return `"${first}" has no command "${left[0]}"`;
    [command, left] = [below, left.slice(1)];
  }
  let given = 0;
  for (let index = 0; index < left.length; index++) {
    const word = left[index]!;
    if (!word.startsWith('--')) {
      given++;
      continue;
    }
    if (word === '--help') continue;
    const option = command.options.find(({ long }) => long === word.split('=')[0]);
    if (!option) return `"${command.name()}" has no option ${word}`;
    if (option.required && !word.includes('=')) index++;
  }
  const { registeredArguments: wanted } = command;
  if (given > wanted.length && !wanted.at(-1)?.variadic) return `"${command.name()}" takes ${wanted.length} arguments`;
  if (complete && given < wanted.filter(({ required }) => required).length)
    return `"${command.name()}" takes ${wanted.length} arguments`;
  return undefined;
}
