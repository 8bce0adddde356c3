/** Shows a configuration to people: what is in effect (`--print-config`), and what can be set (the documentation). */
import type { CheckedConfig, Settings } from './config.ts';

/** What is in effect, and what is wrong with it: lines for people, or one JSON object. Secrets are taken out. */
export function printConfig(
  { effective, problems, warnings }: CheckedConfig<Settings>,
  { json = false }: { json?: boolean } = {},
): string {
  if (json) return JSON.stringify({ settings: effective, problems, warnings }, null, 2);
  const lines = effective.map(({ name, value, source, readAs, description }) => {
    const wrong = problems.filter((problem) => problem.name === name).map((problem) => `  !! ${problem.wrong}\n`);
    const from = readAs ? `${source}, as ${readAs}` : source;
    return `${name}=${value ?? ''}  (${from})\n  ${description}\n${wrong.join('')}`;
  });
  return [...lines, ...warnings.map((warning) => `!! ${warning}\n`)].join('');
}

/** All settings as a Markdown table, for the documentation. */
export function describeSettings(settings: Settings): string {
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
