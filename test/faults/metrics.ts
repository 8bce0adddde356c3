/** The metrics of a process, and the alerts of docs/operations.md that use them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../e2e/part.ts';

/**
 * Reads a process's metrics. Returns a function that sums the samples of a name with these labels; 0 if there is none.
 */
export async function readMetrics(port: number): Promise<(name: string, labels?: Record<string, string>) => number> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const lines = (await answer.text()).split('\n');
  return (name, labels = {}) => {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    return lines
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(/^[^ {]+(?:\{.*?\})? (\S+)/.exec(line)?.[1] ?? Number.NaN), 0);
  };
}

/** The expression of an alert in docs/operations.md, by the alert's name. */
export function alertExpression(name: string): string {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const [, expression] = new RegExp(`^ *- alert: ${name}\\b.*\\n +expr: (.+)$`, 'm').exec(page) ?? [];
  if (!expression) throw new Error(`docs/operations.md has no alert ${name}.`);
  return expression;
}

/** The metrics that an expression uses, and the labels by which it groups. */
export function partsOf(expression: string): { metrics: string[]; labels: string[] } {
  const [, labels = ''] = /\bby \(([^)]*)\)/.exec(expression) ?? [];
  return {
    metrics: [...new Set(expression.match(/\b[a-z]+(?:_[a-z]+)+\b/g))],
    labels: labels.split(',').map((label) => label.trim()),
  };
}
