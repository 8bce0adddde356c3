/** docs/reference/metrics.md: every instrument that the code makes. */
import { contexts } from '@caudal/server/contexts.ts';
import { table } from './markdown.ts';
import { shippedSources } from './sources.ts';

/** As instruments are made everywhere: at module level, with literals. */
const made = /\b(?:counter|histogram|gauge)\(\s*['"`]/g;
const instrument = /\b(counter|histogram|gauge)\(\s*'([a-z_]+)',\s*(?:'([^']+)'|"([^"]+)")/g;

export function metricsPage(): string {
  const found = shippedSources().flatMap(({ path, text }) => {
    const instruments = [...text.matchAll(instrument)];
    if (instruments.length !== [...text.matchAll(made)].length)
      throw new Error(`${path} makes an instrument in a way that scripts/reference/metrics.ts can't read.`);
    return instruments.map(([, kind, name, single, double]) => ({
      owner: path.split('/').slice(0, 2).join('/'),
      row: [`\`${name}\``, kind!, single ?? double!],
    }));
  });
  const read = contexts.flatMap(({ name, gauges = [] }) =>
    gauges.map((gauge) => ({
      owner: `services/${name}`,
      row: [`\`${gauge.name}\``, 'gauge', `${gauge.description}. Read by the role jobs`],
    })),
  );
  found.push(...read);
  const owners = [...new Set(found.map(({ owner }) => owner))].sort();
  return [
    '# Metrics',
    '',
    'What `/metrics` has (the port is `CAUDAL_METRICS_PORT`), beside what OpenTelemetry says of Node itself: event loop,',
    'heap, garbage collection. Units are base units; attributes never hold ids. [operations.md](../operations.md) says which',
    'of them to watch.',
    '',
    ...owners.flatMap((owner) => [
      `## ${owner}`,
      '',
      table(
        ['Name', 'Kind', 'What it says'],
        found.filter((each) => each.owner === owner).map(({ row }) => row),
      ),
    ]),
  ].join('\n');
}
