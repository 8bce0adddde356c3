/** `caudal views`: lists the read models, and shows their views. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { isDay, isTime } from '@caudal/kernel/time.ts';
import { openViews } from '@caudal/projections/queries/views.ts';
import type { Condition, Key, KeyType, Query, StoredView } from '@caudal/projections/types.ts';
import type { App } from '@caudal/server/app.ts';
import { type LocalProjection, viewStoreOf } from '@caudal/server/handlers/handlers.ts';
import { Command } from 'commander';
import { count, several } from '../arguments.ts';
import { indented, plain, say, sayJson } from '../output.ts';
import { pick, UsageError } from '../usage.ts';
import { findView, viewsByName } from '../views.ts';
import { withApp } from '../with-app.ts';

export function viewsCommand(): Command {
  return new Command('views')
    .description('inspect the read models')
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(findCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('list the read models: context, store, current generation, number of views')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', '\nExample: caudal views list')
    .action(({ json = false }: { json?: boolean }) =>
      withApp(async (system) => {
        for (const of of viewsByName(system).values()) {
          const listed = await describe(system, of);
          if (json) sayJson(listed);
          else
            say(`${listed.view.padEnd(22)} ${listed.context.padEnd(14)} ${listed.store.padEnd(14)} ${state(listed)}`);
        }
      }),
    );
}

function getCommand(): Command {
  return new Command('get')
    .description('show one view')
    .argument('<view>', '"order-details"')
    .argument('<id>', "the view's id")
    .option('--json', 'as one JSON object')
    .addHelpText('after', '\nExit code 1 if there is no such view.\n\nExample: caudal views get order-details 1001')
    .action((name: string, id: string, { json = false }: { json?: boolean }) =>
      withApp(async (system) => {
        const of = findView(system, name);
        const stored = await orNotBuilt(system, of, opened(system, of).get(id));
        if (!stored) throw new Error(`${name} has no view "${id}".`);
        show(of, stored, json);
      }),
    );
}

interface FindOptions {
  where?: string[];
  orderBy?: string[];
  limit: number;
  json?: boolean;
}

function findCommand(): Command {
  return new Command('find')
    .description('show the views that meet conditions')
    .argument('<view>', '"order-details"')
    .option('--where <key=value>', 'a key that must have this value; may be repeated', several)
    .option('--order-by <key>', 'a key to order by, with "-" before it for descending; may be repeated', several)
    .option('--limit <n>', 'the largest number of views to show', count, 20)
    .option('--json', 'one JSON object per line')
    .addHelpText(
      'after',
      `
Keys are those that the projection declares (keys, in its file). Lists are not ordered by.

Example: caudal views find order-details --where customer_id=ada --order-by -create_time --limit 3`,
    )
    .action((name: string, { where = [], orderBy = [], limit, json = false }: FindOptions) =>
      withApp(async (system) => {
        const of = findView(system, name);
        const query = {
          where: where.map((text) => condition(of, text)),
          orderBy: orderBy.map((text) => ordering(of, text)),
        };
        const views = opened(system, of);
        let left = limit;
        for (let pageToken: string | undefined; left > 0 && !system.lifecycle.ending.aborted; ) {
          const reading = views.find({ ...query, limit: Math.min(left, 500), pageToken });
          const page = await orNotBuilt(system, of, reading);
          for (const stored of page.views) show(of, stored, json);
          left -= page.views.length;
          if (!page.nextPageToken) return;
          pageToken = page.nextPageToken;
        }
      }),
    );
}

function opened(system: App, of: LocalProjection) {
  return openViews<unknown>({ projection: of.definition.projection, store: viewStoreOf(system, of) });
}

/** What a read says of views that are missing: the store may be another one than the running system's. */
async function orNotBuilt<T>(system: App, of: LocalProjection, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!isNotBuilt(error)) throw error;
    const { name } = viewStoreOf(system, of);
    throw new Error(
      `${of.definition.projection.name} is not built yet in ${name}. A running projector builds it: does it have the settings of this command?`,
      { cause: error },
    );
  }
}

const isNotBuilt = (error: unknown) => error instanceof CaudalError && error.reason === 'VIEW_NOT_BUILT';

interface Listed {
  view: string;
  context: string;
  store: string;
  /** Undefined: not built yet. */
  generation: number | undefined;
  views: number | undefined;
  /** Why they are undefined. */
  problem?: string;
}

async function describe(system: App, of: LocalProjection): Promise<Listed> {
  const store = viewStoreOf(system, of);
  const { projection } = of.definition;
  const listed = {
    view: `${projection.name}.v${projection.version}`,
    context: of.local.context.name,
    store: store.name,
  };
  try {
    const { number, collection } = await opened(system, of).generations.current();
    return { ...listed, generation: number, views: await collection.count([]) };
  } catch (error) {
    if (!(error instanceof CaudalError)) throw error;
    // The other views are listed all the same.
    const problem = isNotBuilt(error) ? 'not built yet' : error.message;
    return { ...listed, generation: undefined, views: undefined, problem };
  }
}

function state({ generation, views, problem }: Listed): string {
  return problem ?? `generation ${generation}, ${views} views`;
}

function show(of: LocalProjection, { id, view, streams, revision }: StoredView<unknown>, json: boolean): void {
  const shown = { id, view: plain(of.definition.projection.codec.toJSON(view)), streams, revision };
  if (json) {
    sayJson(shown);
    return;
  }
  const seen = Object.entries(streams).map(([stream, version]) => `${stream} ${version}`);
  say(`${id}  written ${revision} times, has seen ${seen.join(', ')}`);
  say(indented(JSON.stringify(shown.view, null, 2)));
}

/** `customer_id=ada` as a condition on the projection's key. Throws UsageError. */
function condition({ definition }: LocalProjection, text: string): Condition {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new UsageError(`--where takes key=value, not "${text}".`);
  const { type } = keyNamed(definition.projection.keys, name);
  return { key: name, equals: typed(name, type, value) };
}

function ordering({ definition }: LocalProjection, text: string): NonNullable<Query['orderBy']>[number] {
  const key = text.replace(/^-/, '');
  if (keyNamed(definition.projection.keys, key).many)
    throw new UsageError(`"${key}" is a list: nothing is ordered by it.`);
  return { key, descending: text.startsWith('-') };
}

function keyNamed(keys: Record<string, { type: KeyType; many?: boolean }>, name: string) {
  const key = pick('key', name, new Map(Object.entries(keys)));
  if (key.type === 'text') throw new UsageError(`"${name}" is text, which only a search finds by.`);
  return key;
}

function typed(name: string, type: KeyType, value: string): Key {
  if (value === '') return type === 'keyword' ? '' : null;
  if (type === 'long' && /^-?\d{1,18}$/.test(value)) return BigInt(value);
  if (type === 'boolean' && /^(true|false)$/.test(value)) return value === 'true';
  if (type === 'timestamp' && (isTime(value) || isDay(value))) return new Date(value);
  if (type === 'keyword') return value;
  const wanted = { long: 'a whole number', boolean: 'true or false', timestamp: 'a time such as 2026-11-29T12:00:00Z' };
  throw new UsageError(`"${name}" is ${wanted[type as keyof typeof wanted]}, not "${value}".`);
}
