/** Searching products by what people type, compared with the stores' own full text. */
import { openAnalysis } from '@caudal/projections/search/analysis.ts';
import type { Collection, Layout, Write } from '@caudal/projections/stores/store.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { type SearchContest, searchContests, type Text } from '../plain-search.ts';
import type { Bench, Figure, Tools } from '../types.ts';

const bench = 'search';
const batchSize = 128;
const clients = 4;
const fields = { article: 4, title: 4, description: 1 };
const layout: Layout = {
  keys: {
    article: { type: 'text', many: false, short: true },
    title: { type: 'text', many: false, short: true },
    description: { type: 'text', many: false },
    available: { type: 'long', many: false },
  },
  indexes: [],
};

const syllables = 'lan tern por ce lain tea pot mug ket tle chair oak lamp glass wick er heart hang ing box red'.split(
  ' ',
);

/** Numbers that look random, and are the same in each run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

/** Words of which few are frequent and most are rare. */
const wordOf = (random: (below: number) => number) => {
  const rank = Math.floor(8_000 ** (random(1_000_000) / 1_000_000));
  const [a, b, c] = [rank % 20, Math.floor(rank / 20) % 20, Math.floor(rank / 400) % 20];
  return syllables[a]! + syllables[b]! + (rank > 400 ? syllables[c]! : '');
};

function textsOf(count: number): Text[] {
  const random = randomOf(1);
  const words = (some: number) => Array.from({ length: some }, () => wordOf(random)).join(' ');
  return Array.from({ length: count }, (_, n) => ({
    id: `NOR.${String(n)
      .padStart(7, '0')
      .replace(/(....)/, '$1-')}`,
    title: words(4),
    description: words(25),
  }));
}

/** The kinds of queries. The stores' own search knows no typing errors, so that kind is compared with none. */
const kinds = {
  word: (text: Text) => [text.title.split(' ')[0]!],
  'two-words': (text: Text) => text.title.split(' ').slice(0, 2),
  beginning: (text: Text) => [text.title.split(' ')[0]!.slice(0, 4)],
  article: (text: Text) => [text.id],
  error: (text: Text) => [text.title.split(' ')[3]!.replace(/(.)(.)(.*)/, '$2$1q$3')],
};

function writesOf(texts: Text[], revision: number): Write[] {
  return texts.map(({ id, ...text }) => ({
    id,
    revision,
    streams: { [`catalog.product/${id}`]: revision },
    keys: { article: id, ...text, available: BigInt(revision) },
    view: { id, ...text },
  }));
}

/** Documents a second, in batches one after the other. */
async function rateOf(texts: Text[], write: (batch: Text[]) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (let from = 0; from < texts.length; from += batchSize) await write(texts.slice(from, from + batchSize));
  return texts.length / ((performance.now() - began) / 1_000);
}

async function measure(name: string, contest: SearchContest, texts: Text[], { quick, say }: Tools): Promise<Figure[]> {
  const collection: Collection = contest.store.collection('products.v1.1', layout);
  await collection.create();
  await contest.plain.create();
  say(`${name}: ${texts.length} products`);
  const rate = await rateOf(texts, (batch) => collection.save(writesOf(batch, 1)));
  const plain = await rateOf(texts, (batch) => contest.plain.insert(batch));
  const sold = texts.slice(0, quick ? 1_000 : 20_000);
  const stock = await rateOf(sold, async (batch) => {
    const read = await collection.load(batch.map(({ id }) => id));
    const guards = new Map(read.map(({ id, guard }) => [id, guard]));
    return collection.save(
      writesOf(batch, 2).map((write) => ({ ...write, guard: guards.get(write.id), sameTexts: true })),
    );
  });
  await collection.refresh();
  await contest.plain.refresh();
  const figures = [
    figureOf({ bench, metric: `${name}.indexed`, unit: '/s' }, [rate]),
    figureOf({ bench, metric: `${name}.indexed.plain`, unit: '/s' }, [plain]),
    ratioOf({ bench, metric: `${name}.indexed.vs-plain` }, [rate], [plain]),
    figureOf({ bench, metric: `${name}.stock-changed`, unit: '/s' }, [stock]),
  ];

  const query = { fields, where: [], facets: [], orderBy: [], limit: 20, maxMs: 8_000 };
  const search = async (text: string) => {
    const found = await collection.search!({ ...query, text, forgiving: false });
    return found.total > 0 ? found : collection.search!({ ...query, text, forgiving: true });
  };
  for (const [kind, wordsOf] of Object.entries(kinds)) {
    let asked = 0;
    const next = () => wordsOf(texts[(++asked * 7_919) % texts.length]!);
    const load = (work: (words: string[]) => Promise<unknown>) => () =>
      closedLoop({ clients, seconds: quick ? 1 : 4, work: () => work(next()) });
    const measured = await takeTurns(
      { caudal: load((words) => search(words.join(' '))), plain: load((words) => contest.plain.search(words)) },
      { rounds: quick ? 1 : 5, say: (what) => say(`${name} ${kind}: ${what}`) },
    );
    for (const at of ['p50', 'p99'] as const) {
      const [ours, theirs] = [measured.caudal.map((each) => each[at]), measured.plain.map((each) => each[at])];
      const metric = `${name}.${kind}.${at}`;
      figures.push(figureOf({ bench, metric, unit: 'ms' }, ours));
      if (kind === 'error') continue;
      figures.push(figureOf({ bench, metric: `${metric}.plain`, unit: 'ms' }, theirs));
      figures.push(ratioOf({ bench, metric: `${metric}.vs-plain` }, ours, theirs));
    }
  }
  return figures;
}

export const search: Bench = {
  name: 'search',
  title: 'Searching products',
  compares: `200,000 products with an article number, a title of 4 words and a description of 25; ${clients} clients search by a word, by two, by the first four letters of a word, by an article number, and by a word with a typing error, for the first 20 products and the number of all. Compared with the stores' own full text over title and description: PostgreSQL's configuration "simple" with a GIN index and ts_rank, Elasticsearch's analyzer "standard" with multi_match; both find the beginning of the last word (PostgreSQL: of all), no part of a number and no typing error. Indexing: batches of ${batchSize} new products, one after the other, compared with bare inserts of the texts; and products whose stock alone has changed.`,
  needs: ['postgres', 'elasticsearch'],

  async run(tools) {
    const texts = textsOf(tools.quick ? 4_000 : 200_000);
    const analysis = await openAnalysis(['en']);
    const figures: Figure[] = [];
    for (const [name, open] of Object.entries(searchContests)) {
      const contest = await open(analysis);
      try {
        figures.push(...(await measure(name, contest, texts, tools)));
      } finally {
        await contest.close();
      }
    }
    return figures;
  },
};
