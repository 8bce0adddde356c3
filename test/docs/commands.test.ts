/** Commands that the pages name are there, with their options; nothing is started for it but `--help` of scripts. */
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '@caudal/config/config.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { callsIn, callsInline, faultOf, subcommands } from './command-line.ts';
import { blocksOf, pages, root, withoutBlocks } from './pages.ts';

const known = await subcommands();
const all = pages();

/** What a page gives as code: lines of its blocks, fenced or indented. */
const scriptOf = ({ path, text }: (typeof all)[number]) =>
  [
    ...blocksOf({ path, text }, 'sh').map(({ code }) => code),
    ...[...text.matchAll(/^ {4}.*$/gm)].map(([line]) => line),
  ].join('\n');
const inlineOf = (text: string) => [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);

test('commands of caudal in running text and in tables', () => {
  const wrong = all.flatMap(({ path, text }) =>
    inlineOf(text).flatMap((code) =>
      callsInline(code).flatMap((words) => {
        const fault = faultOf(words, known);
        return fault ? [`${path}: \`${code}\`: ${fault}`] : [];
      }),
    ),
  );
  expect(wrong).toEqual([]);
});

test('commands of caudal in scripts are complete', () => {
  const calls = all.flatMap((page) => callsIn(scriptOf(page)).map((words) => ({ path: page.path, words })));
  expect(calls.length).toBeGreaterThan(5);
  const wrong = calls.flatMap(({ path, words }) => {
    const fault = faultOf(words, known, { complete: true });
    return fault ? [`${path}: caudal ${words.join(' ')}: ${fault}`] : [];
  });
  expect(wrong).toEqual([]);
});

test('jobs of the chart that the pages show call commands that there are', () => {
  const args = all
    .flatMap((page) => blocksOf(page, 'yaml'))
    .flatMap(({ code }) => Object.values((parse(code) as { jobs?: Record<string, { args: string[] }> }).jobs ?? {}))
    .map((job) => job.args);
  expect(args.length).toBeGreaterThan(0);
  for (const words of args) expect([words, faultOf(words, known, { complete: true })]).toEqual([words, undefined]);
});

test('what is no command is found', () => {
  expect(callsIn('x=$(bin/caudal token --subject me)\nkubectl exec deploy/a -- caudal jobs list # now')).toEqual([
    ['token', '--subject', 'me'],
    ['jobs', 'list'],
  ]);
  expect(faultOf(['rebuilt', 'x'], known)).toBe('there is no command "rebuilt"');
  expect(faultOf(['jobs', 'start'], known)).toBe('"jobs" has no command "start"');
  expect(faultOf(['verify', 'all', '--fast'], known)).toBe('"verify" has no option --fast');
  expect(faultOf(['log', 'show', 'a', 'b'], known)).toBe('"show" takes 1 arguments');
  expect(faultOf(['log', 'show', '--limit', '3'], known, { complete: true })).toBe('"show" takes 1 arguments');
  expect(faultOf(['log', 'show', 'a', '--limit', '3'], known, { complete: true })).toBeUndefined();
});

test('docs/cli.md has every command, with options that it has', () => {
  const rows = readFileSync(join(root, 'docs/cli.md'), 'utf8').match(/^\| `caudal .*\|$/gm)!;
  const named = new Set<string>();
  for (const row of rows) {
    const [, first = '', second = ''] = row.split(/(?<!\\)\|/);
    let group = '';
    const commands = inlineOf(first).map((code) => {
      const words = code.startsWith('caudal ') ? code.split(' ').slice(1) : [group, ...code.split(' ')];
      group = words[0]!;
      return words;
    });
    for (const words of commands) {
      expect([row, faultOf(words, known)]).toEqual([row, undefined]);
      named.add(known.get(words[0]!)!.commands.length > 0 ? `${words[0]} ${words[1]}` : words[0]!);
    }
    for (const option of [...second.matchAll(/`(--[\w-]+)/g)].map(([, found]) => found!))
      expect([option, commands.some((words) => faultOf([...words, option], known) === undefined)]).toEqual([
        option,
        true,
      ]);
  }
  const there = [...known.values()].flatMap((command) =>
    command.commands.length > 0
      ? command.commands.map((below) => `${command.name()} ${below.name()}`)
      : [command.name()],
  );
  expect([...named].sort()).toEqual(there.sort());
});

test('npm scripts take what the pages give them', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const helps = new Map<string, string>();
  const helpOf = (script: string) => {
    const [file] = scripts[script]!.match(/[\w/.]+\.[tj]s\b(?!.*\.[tj]s)/) ?? [];
    if (!helps.has(script))
      helps.set(script, execFileSync(process.execPath, [file!, '--help'], { cwd: root, encoding: 'utf8' }));
    return helps.get(script)!;
  };
  const wrong = all.flatMap((page) =>
    [...inlineOf(page.text), ...scriptOf(page).split('\n')].flatMap((code) =>
      [...code.matchAll(/\bnpm (?:run )?(?:-s )?([\w:-]+) -- ([^|#;)&>`]*)/g)].flatMap(([call, script, rest]) => {
        const words = rest!
          .trim()
          .split(/\s+/)
          .filter((word) => /[a-z]/.test(word));
        const isThere = (word: string) => {
          if (script === 'demo') return faultOf(['demo', word], known) === undefined;
          if (script === 'test' || script === 'jest') return globSync(`${word}*`, { cwd: root }).length > 0;
          return new RegExp(`(^|[\\s\\[])${word}\\b`, 'm').test(helpOf(script!));
        };
        return words.filter((word) => !isThere(word)).map((word) => `${page.path}: ${call}: ${word}`);
      }),
    ),
  );
  expect(wrong).toEqual([]);
}, 60_000);

test('variables that scripts set are settings', () => {
  const names = new Set(
    Object.entries(settings as Settings).flatMap(([name, { formerly }]) => [name, `${name}_FILE`, formerly]),
  );
  const others = new Set(['LOG_LEVEL', 'TOKEN', 'RUNTIME_IMAGE']);
  const documentation = all.filter(({ path }) => path === 'README.md' || path.startsWith('docs/'));
  const wrong = documentation.flatMap((page) =>
    [...scriptOf(page).matchAll(/\b([A-Z]+(?:_[A-Z]+)+)=/g)]
      .filter(([, name]) => !names.has(name!) && !others.has(name!))
      .map(([, name]) => `${page.path}: ${name}`),
  );
  expect(wrong).toEqual([]);
});
