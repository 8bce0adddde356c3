/** docs/reference/settings.md: every environment variable that a process reads. */
import type { Settings } from '@caudal/config/config.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { settings } from '@caudal/server/settings/settings.ts';

export function settingsPage(): string {
  const ofContexts = new Set(contexts.flatMap((context) => Object.keys(context.settings)));
  const ofRuntime = Object.fromEntries(Object.entries(settings).filter(([name]) => !ofContexts.has(name)));
  return [
    '# Settings',
    '',
    'Caudal is configured by environment variables. It reads them once, at the start, and checks all of them: one message',
    'names everything that is wrong. `bin/caudal config` shows each value and where it is set. A deprecated name is',
    'read for one more version, with a warning: [renames](../renames.md).',
    'An empty variable counts as not set. `node --env-file=FILE` reads variables from a file.',
    '',
    '## Every process',
    '',
    describeSettings(ofRuntime),
    ...contexts
      .filter((context) => Object.keys(context.settings).length > 0)
      .flatMap((context) => [`## Processes of the context ${context.name}`, '', describeSettings(context.settings)]),
  ].join('\n');
}

/** Settings as a Markdown table. */
function describeSettings(settings: Settings): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  const rows = Object.entries(settings).map(([name, { expects, description, optional, ...setting }]) => {
    const fallback = setting.default === undefined ? (optional ? 'none' : '**required**') : `\`${setting.default}\``;
    const file = setting.secrecy === 'public' ? '' : ` Or \`${name}_FILE\`: a file that holds it.`;
    const former = [
      ...(setting.formerly ? [` Deprecated name: \`${setting.formerly}\`.`] : []),
      ...Object.entries(setting.formerWords).map(([old, now]) => ` Deprecated: \`${old}\`, now \`${now}\`.`),
    ].join('');
    return `| \`${name}\` | ${cell(expects)} | ${cell(fallback)} | ${cell(description)}${file}${former} |`;
  });
  return ['| Variable | Value | Default | What it does |', '|---|---|---|---|', ...rows, ''].join('\n');
}
