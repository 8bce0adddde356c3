/** Random calls over gRPC: a method, a message of some kind, a caller, and headers. */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { maskedMessage } from '@caudal/rpc/schema/mask.ts';
import fc from 'fast-check';
import { damaged, noise } from './corrupt.ts';
import { messageOf } from './messages.ts';
import { world } from './world.ts';

/** The callers; the test has a token for each but `nobody`. */
export type CallerKind = 'everything' | 'own' | 'powerless' | 'nobody';

export interface FuzzCall {
  method: MethodContract;
  kind: 'well typed' | 'damaged' | 'noise';
  message: Uint8Array;
  as: CallerKind;
  headers: Record<string, string | string[]>;
  /** Headers that allow codes which are faults otherwise. */
  excuses: readonly Excuse[];
}

/** `soon`: a deadline that may be over first. */
export type Excuse = 'soon';

interface Oddity {
  headers: Record<string, string | string[]>;
  excuse?: Excuse;
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const order = `orders.order/${world.order_id![0]}`;

const authorizations = [
  ...[
    '',
    'Bearer',
    'Bearer ',
    'bearer x',
    'Basic YTpi',
    'Bearer a.b.c',
    'Bearer a..',
    'Bearer eyJhbGciOiJub25lIn0.e30.',
  ],
  ...[`Bearer ${'x'.repeat(9_000)}`, `Bearer ${base64url({ alg: 'EdDSA' })}.${base64url({ sub: 'fuzz' })}.AAAA`],
];

const consistencyTokens = [
  ...['', '!!', 'W10', 'e30', 'bnVsbA', 'x'.repeat(20_000), 'A'.repeat(16_000)],
  ...[[], [[]], [['a', 1]], [[1, 2]], [[order, 0]], [[order, -1]], [[order, 1.5]], [[order, '1']], [[order, null]]].map(
    base64url,
  ),
  ...[[['orders.order/\u00e9', 1]], Array(51).fill([order, 1]), { length: 1 }].map(base64url),
  base64url(Array(50).fill([order, 1])),
];
/** In the form of version 0.2, which makes no query wait: positions in the future, and versions that no stream can have. */
const futureTokens = [
  ['orders.order/nobody', 2],
  [`${order}'--`, 1],
  [order, 2 ** 31 - 1],
].map((one) => base64url([one]));
const absurdTokens = [2 ** 31, Number.MAX_SAFE_INTEGER].map((version) => base64url([[order, version]]));

const timeouts: Oddity[] = [
  ...['0n', '1n', '1u', '1m', '0S', '3m', '00000001u'].map((text) => ({
    headers: { 'grpc-timeout': text },
    excuse: 'soon' as const,
  })),
  // grpc-js computes in 32 bits: a deadline of more than 24 days may be over at once.
  { headers: { 'grpc-timeout': '99999999H' }, excuse: 'soon' },
  ...['1M', '60S', '8640S', '5000000u'].map((text) => ({ headers: { 'grpc-timeout': text } })),
];

/** Printable, as HTTP/2 requires. */
const headerText = fc.oneof(
  fc.constantFrom('a b', '../..', '%0d%0a', '"', '{}', 'x'.repeat(500), 'x'.repeat(8_000), '\u00e9\u00ff'),
  fc.string({ unit: 'grapheme-ascii', maxLength: 40 }).map((text) => text.trim()),
);
const names = ['x-request-id', 'caudal-causation-id', 'caudal-correlation-id', 'traceparent', 'tracestate', 'baggage'];
const others = [
  'user-agent',
  'grpc-accept-encoding',
  'accept-encoding',
  'x-forwarded-for',
  'grpc-trace-bin',
  'x-bin',
  'cookie',
];

const oddity: fc.Arbitrary<Oddity> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...authorizations).map((authorization) => ({ headers: { authorization } })) },
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(...consistencyTokens, ...futureTokens, ...absurdTokens)
      .map((token) => ({ headers: { 'caudal-consistency-token': token } })),
  },
  { weight: 4, arbitrary: fc.constantFrom(...timeouts) },
  {
    weight: 10,
    arbitrary: fc
      .tuple(fc.constantFrom(...names, ...others), headerText)
      .map(([name, text]) => ({ headers: { [name]: text } })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(10, 60).map((count) => ({
      headers: Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-fuzz-${n}`, 'x'.repeat(200)])),
    })),
  },
);
const beside = fc.oneof(
  { weight: 300, arbitrary: fc.constant<Oddity[]>([]) },
  { weight: 100, arbitrary: fc.array(oddity, { minLength: 1, maxLength: 3 }) },
);

const caller = fc.oneof(
  { weight: 20, arbitrary: fc.constant<CallerKind>('everything') },
  { weight: 3, arbitrary: fc.constant<CallerKind>('own') },
  { weight: 1, arbitrary: fc.constantFrom<CallerKind>('powerless', 'nobody') },
);

function callsTo(method: MethodContract): fc.Arbitrary<FuzzCall> {
  const answered = maskedMessage(method.response);
  const tame = messageOf(method.request, { answered, tame: true });
  const wild = messageOf(method.request, { answered, tame: false });
  const typed = fc.oneof(tame, wild);
  const content = fc.oneof(
    { weight: 12, arbitrary: typed.map((message) => ({ kind: 'well typed' as const, message })) },
    { weight: 5, arbitrary: damaged(typed).map((message) => ({ kind: 'damaged' as const, message })) },
    { weight: 2, arbitrary: noise.map((message) => ({ kind: 'noise' as const, message })) },
  );
  return fc.tuple(content, caller, beside).map(([made, as, oddities]) => ({
    method,
    ...made,
    as,
    headers: Object.assign({}, ...oddities.map(({ headers }) => headers)) as FuzzCall['headers'],
    excuses: oddities.flatMap(({ excuse }) => excuse ?? []),
  }));
}

const aRound = 10;

/**
 * At least `count` calls from this seed, in rounds through all methods, so that each method meets the changes of the
 * others.
 */
export function* fuzzCalls(seed: number, count: number): Generator<FuzzCall> {
  const all = contract().methods().map(callsTo);
  for (let made = 0, round = 0; made < count; round++) {
    for (const [index, calls] of all.entries()) {
      yield* fc.sample(calls, { seed: seed + round * all.length + index, numRuns: aRound });
      made += aRound;
    }
  }
}
