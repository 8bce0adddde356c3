/** docs/reference/metrics.md: every instrument that the code makes. */
import { contexts } from '@caudal/server/contexts.ts';
import { table } from './markdown.ts';
import { shippedSources } from './sources.ts';

/** Instruments are made in one way everywhere: at module level, with literals. */
const made = /\b(?:counter|histogram|gauge)\(\s*['"`]/g;
const instrument = /\b(counter|histogram|gauge)\(\s*'([a-z_]+)',\s*(?:'([^']+)'|"([^"]+)")([^;]*);/g;
/** The options of an instrument that was renamed. */
const former = /formerly: \{(?:\s*name: '([a-z_]+)',?)?(?:\s*labels: \{([^}]*)\},?)?\s*\}/;

export interface Instrument {
  /** The package or service: `packages/eventlog`. */
  owner: string;
  name: string;
  kind: string;
  description: string;
  /** Its deprecated name, if it was renamed. */
  formerName: string | undefined;
  /** Deprecated names of its labels, by their current ones. */
  formerLabels: Record<string, string>;
}

/** Every instrument, in the order of the files. Throws if this file's patterns can't read one. */
export function instruments(): Instrument[] {
  return shippedSources().flatMap(({ path, text }) => {
    const found = [...text.matchAll(instrument)];
    if (found.length !== [...text.matchAll(made)].length)
      throw new Error(`${path} makes an instrument in a way that scripts/reference/metrics.ts can't read.`);
    return found.map(([, kind, name, single, double, options = '']): Instrument => {
      const [, formerName, labels = ''] = former.exec(options) ?? [];
      if (options.includes('formerly') && formerName === undefined && labels === '')
        throw new Error(`${path} says what ${name} was called in a way that scripts/reference/metrics.ts can't read.`);
      const formerLabels = Object.fromEntries(
        [...labels.matchAll(/(\w+): '(\w+)'/g)].map(([, now, before]) => [now!, before!]),
      );
      const owner = path.split('/').slice(0, 2).join('/');
      return { owner, name: name!, kind: kind!, description: single ?? double!, formerName, formerLabels };
    });
  });
}

/** The rows of an instrument: one for its name, and one for its deprecated name. */
function rowsOf({ name, kind, description, formerName, formerLabels }: Instrument): string[][] {
  const labels = Object.entries(formerLabels);
  if (formerName === undefined) {
    const both = labels.map(([now, before]) => `. The label \`${before}\` is deprecated: now \`${now}\``).join('');
    return [[`\`${name}\``, kind, description + both]];
  }
  const relabelled = labels.map(([now, before]) => `, with \`${before}\` as \`${now}\``).join('');
  return [
    [`\`${name}\``, kind, description],
    [`\`${formerName}\``, kind, `Deprecated: now \`${name}\`${relabelled}`],
  ];
}

export function metricsPage(): string {
  const gauges = contexts.flatMap(({ name: context, gauges = [] }) =>
    gauges.map(({ name, description }): Instrument => {
      const owner = `services/${context}`;
      const says = `${description}. Read by the role jobs`;
      return { owner, name, kind: 'gauge', description: says, formerName: undefined, formerLabels: {} };
    }),
  );
  const found = [...instruments(), ...gauges];
  const owners = [...new Set(found.map(({ owner }) => owner))].sort();
  return [
    '# Metrics',
    '',
    'The metrics of `/metrics` (its port is `CAUDAL_METRICS_PORT`), beside those of OpenTelemetry about Node itself: event loop,',
    'heap, garbage collection. Units are base units; attributes never hold ids. [operations.md](../operations.md) says which',
    'of them to watch. Deprecated names are exported for one more version: [renames](../renames.md).',
    '',
    ...owners.flatMap((owner) => [
      `## ${owner}`,
      '',
      table(['Name', 'Kind', 'What it says'], found.filter((each) => each.owner === owner).flatMap(rowsOf)),
    ]),
  ].join('\n');
}
