/** PostgreSQL, in any locale, and Elasticsearch find the same by what people type, in the same order. */
import { readFileSync } from 'node:fs';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Collection, Layout } from '../stores/store.ts';
import { searchTitles, type Titled } from '../testing/search.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import { openAnalysis } from './analysis.ts';

const layout: Layout = { keys: { title: { type: 'text', many: false, short: true } }, indexes: [] };

/** The table of docs/search.md: titles, each with the queries that find it. */
const documented = readFileSync(new URL('../../../../docs/search.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => /^\| `[^|]*\| `/.test(line))
  .map((line) => line.split('|').map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!)))
  .map(([, title, queries]) => ({ title: title![0]!, queries: queries! }));

/** By script: a title, and words of it as people type them. */
const scripts = {
  Latin: ['Crème brûlée Schüssel', 'creme', 'BRULEE', 'schuessel', 'schüss', 'schussle'],
  Cyrillic: ['Фарфоровая чашка «Ёлка»', 'чашка', 'ЕЛКА', 'фарф', 'фарфоровпя'],
  Greek: ['Ελληνικός καφές', 'ΚΑΦΕΣ', 'ελληνικοσ', 'ελλη', 'ελληνκιος'],
  Armenian: ['Հայկական կոնյակ', 'ԿՈՆՅԱԿ', 'հայկ', 'հայկակն'],
  Georgian: ['ქართული ღვინო', 'ღვინო', 'ქართ', 'ქართულ', 'ქართლუი'],
  Hebrew: ['סֵפֶר בִּשּׁוּל', 'ספר', 'בשו', 'בישול ספר'],
  Arabic: ['كِتَاب الطبخ', 'كتاب', 'طبخ', 'الطب', 'كتلب'],
  Devanagari: ['हिन्दी शब्दकोश', 'हिंदी', 'शब्द', 'शब्दकोष'],
  Bengali: ['বাংলা অভিধান', 'বাংলা', 'অভি', 'অভিধন'],
  Tamil: ['தமிழ் அகராதி', 'தமிழ்', 'அகர', 'அகராத'],
  Thai: ['พจนานุกรมภาษาไทย', 'ภาษา', 'ไทย', 'พจนานุกรม', 'พจนานุกรนภาษาไทย'],
  Khmer: ['វចនានុក្រមខ្មែរ', 'ខ្មែរ', 'វចនានុក្រម'],
  Han: ['红色丝绸连衣裙', '连衣裙', '丝绸', '裙', '红色丝稠连衣裙'],
  Kana: ['ガラスのランタン', 'ランタン', 'ｶﾞﾗｽ', 'ガラ', 'ガラスのランダン'],
  Hangul: ['한국어 사전', '한국어', '사전', '한구', '한국아'],
} as const;

/** Each with its whole and its parts, as written and as typed. */
const numbers = Array.from({ length: 200 }, (_, n) => {
  const [a, b, c] = [String(1000 + n * 37), String(10 + (n % 90)), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[n % 26]!];
  const prefix = ['NOR', 'ISO', 'SKF', 'WD', 'X'][n % 5]!;
  const makes: [string, ...string[]][] = [
    [`${prefix}.${a}-${b}`, `${prefix}${a}`, `${a}-${b}`, a],
    [`${prefix}-${a}:${b}`, `${prefix} ${a}`, `${prefix}${a}`, `${a}:${b}`],
    [`${a}${c}${c}`, a, `${a}${c}`, `${a}-${c}${c}`],
    [`${prefix}/${c}${a}`, `${c}${a}`, `${prefix}${c}`, `${prefix}/${c}`],
    [`${prefix} ${a} ${b}`, `${prefix}${a}`, `${prefix}-${a}-${b}`, `${a}${b}`],
    [`${a}_${b}.${prefix}`, `${a}${b}`, `${b}.${prefix}`, `${b}${prefix}`],
  ];
  const [whole, ...parts] = makes[n % makes.length]!;
  const compact = whole.replaceAll(/[^A-Z0-9]/g, '');
  const letters = /[A-Z]+/.exec(compact)![0];
  const withErrors = [
    letters[1] ? letters[1] + letters[0] + letters.slice(2) : `Q${letters}`,
    letters.slice(1),
    `${letters[0]}Q${letters.slice(1)}`,
    `Q${letters.slice(1)}`,
  ];
  // A number with spaces is three words, of which the first may be too short.
  const mistyped = whole.includes(' ') ? [] : withErrors.map((wrong) => compact.replace(letters, wrong));
  // A digit that is another one, and two that have changed places.
  const other = String((Number(a[1]) + 1) % 10);
  const wrongDigits = [`${a[0]}${other}${a.slice(2)}`, a[0]! + a[2] + a[1] + a.slice(3)].filter((wrong) => wrong !== a);
  return {
    whole,
    queries: [whole, whole.toLowerCase(), compact, ...parts, compact.slice(0, -1)],
    mistyped,
    misnumbered: wrongDigits.flatMap((wrong) => [whole.replace(a, wrong), compact.replace(a, wrong)]),
  };
});

const documents: Titled[] = [
  ...documented.map(({ title }, place) => ({ id: `documented-${place}`, title })),
  ...Object.entries(scripts).map(([script, [title]]) => ({ id: script, title })),
  ...numbers.map(({ whole }, place) => ({ id: `number-${place}`, title: `Part ${whole} steel` })),
];

const analysis = await openAnalysis(['en', 'de']);
/** What the tokens alone find. */
const expected = searchTitles(analysis, documents);

const forms = [
  { form: 'PostgreSQL', server: 'postgres', locale: undefined },
  { form: 'PostgreSQL in locale C', server: 'postgres', locale: 'C' },
  { form: 'Elasticsearch', server: 'elasticsearch', locale: undefined },
] as const;

for (const { form, server, locale } of forms)
  describeWith([server], `what ${form} finds`, () => {
    let place: TestStore;
    let collection: Collection;
    beforeAll(async () => {
      place = await testStores[server](undefined, { analysis, locale });
      collection = place.store.collection('titles.v1.1', layout);
      await collection.create();
      const writes = documents.map(({ id, title }) => ({ id, revision: 1, streams: {}, keys: { title }, view: {} }));
      expect(await collection.save(writes)).toEqual({ lost: [], refused: [] });
      await collection.refresh();
    });
    afterAll(() => place.remove());

    const find = async (text: string, forgiving: boolean) => {
      const query = {
        text,
        forgiving,
        fields: { title: 1 },
        where: [],
        facets: [],
        orderBy: [],
        limit: 1_000,
        maxMs: 8_000,
      };
      const { hits, total } = await collection.search!(query);
      expect(total).toBe(hits.length);
      return hits.map(({ document, score }) => ({ id: document.id, score }));
    };
    const search = async (text: string) => {
      const found = await find(text, false);
      return found.length > 0 ? found : find(text, true);
    };

    /** Each query finds the document, and with it exactly what the tokens say, in their order. */
    async function allFind(id: string, queries: readonly string[]) {
      const found = await Promise.all(queries.map(search));
      expect(found).toEqual(queries.map(expected));
      const missing = queries.filter((_, index) => !found[index]!.some((hit) => hit.id === id));
      expect({ id, missing }).toEqual({ id, missing: [] });
    }

    test('the table of the documentation is true', async () => {
      expect(documented.length).toBeGreaterThan(15);
      for (const [index, { title, queries }] of documented.entries())
        await allFind(`documented-${index}`, [title, ...queries]);
    });

    test.each(Object.entries(scripts))('titles in %s', async (script, queries) => {
      await allFind(script, queries);
    });

    test('article numbers, whole, by part, by their beginning and with a typing error', async () => {
      for (const [index, { queries, mistyped, misnumbered }] of numbers.entries()) {
        await allFind(`number-${index}`, queries);
        const found = await Promise.all(mistyped.map((text) => find(text, true)));
        expect(mistyped.filter((_, one) => !found[one]!.some(({ id }) => id === `number-${index}`))).toEqual([]);
        expect(await Promise.all(mistyped.map(search))).toEqual(mistyped.map(expected));
        const others = await Promise.all(misnumbered.map((text) => find(text, true)));
        expect(misnumbered.filter((_, one) => others[one]!.some(({ id }) => id === `number-${index}`))).toEqual([]);
      }
    }, 240_000);

    describe('the worst texts', () => {
      test('are kept', async () => {
        const texts = ['東'.repeat(10_000), '\ufdfa'.repeat(10_000), '\u{20000}'.repeat(5_000), 'x'.repeat(10_000)];
        const many = Array.from({ length: 4_000 }, (_, n) => `ш${n}-${n + 1}`).join(' ');
        const writes = [...texts, many, `'\\:*&|!<->`, '\ud800x'].map((title, n) => ({
          id: `worst-${n}`,
          revision: 1,
          streams: {},
          keys: { title },
          view: {},
        }));
        const other = place.store.collection('worst.v1.1', layout);
        await other.create();
        expect(await other.save(writes)).toEqual({ lost: [], refused: [] });
      });

      test.each([
        ['a run', '東京都の地図をさがす'.repeat(40)],
        ['words of a letter', 'a b c '.repeat(60)],
        ['parts', 'ab1'.repeat(130)],
        ['signs of the stores', `'\\`.repeat(50)],
        ['letters with two forms', 'ä-ö-ü-'.repeat(60)],
      ])('are answered: %s', async (_, text) => {
        expect(await search(text)).toEqual(expected(text));
      });
    });
  });
