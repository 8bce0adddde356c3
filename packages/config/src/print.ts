/** Prints the configuration that is in effect. */
import type { CheckedConfig, Settings } from './config.ts';

/** The settings in effect and their problems: lines for people, or one JSON object. Secrets are replaced. */
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
