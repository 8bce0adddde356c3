/**
 * docs/reference/stored.md: everything that Caudal stores, with what bounds it. test/e2e/stored.test.ts compares it with
 * what a running system has made.
 */
import { table } from './markdown.ts';

/** A test that shows that rows end. */
interface Shown {
  file: string;
  test: string;
}

export interface Stored {
  /** As it is called where it is stored, without the prefix of CAUDAL_NAMESPACE; `<...>` stands for a part that varies. */
  name: string;
  /**
   * `log`: it grows as the log does. `one each`: it has a row for each of something that is bounded. `rows end`: by time, or
   * when their work is done. `view`: it has what its projection says, and can be built anew.
   */
  kind: 'log' | 'one each' | 'rows end' | 'view';
  /** Why it does not grow without end. */
  bound: string;
  /** For `rows end`. */
  shown?: Shown;
  /** It is there only at times: a running system need not have it. */
  passing?: true;
}

/** The tables of each context's schema in PostgreSQL. Partitions count as their table. */
export const tables: Stored[] = [
  {
    name: 'events',
    kind: 'log',
    bound: 'The log itself, in a partition a month.',
  },
  {
    name: 'months',
    kind: 'log',
    bound: 'A row for each month of the log.',
  },
  {
    name: 'stream_months',
    kind: 'log',
    bound: 'A row for each month in which a stream has events.',
  },
  {
    name: 'archived_months',
    kind: 'log',
    bound: 'A row for each month that has left for the archive.',
  },
  {
    name: 'archived_ends',
    kind: 'log',
    bound: 'A row for each stream whose last event was in a month when that left for the archive.',
  },
  {
    name: 'restored_months',
    kind: 'log',
    bound: 'A row for each month that was put back from the archive, until it leaves again.',
  },
  {
    name: 'former_archives',
    kind: 'log',
    bound:
      'A row each time that a month was put back from the archive: its objects, which backups from before then still need.',
  },
  {
    name: 'epochs',
    kind: 'one each',
    bound: 'A row for each fail-over, switch-over or restore of the log: [the epoch](../fail-over.md#the-epoch).',
  },
  {
    name: 'snapshots',
    kind: 'one each',
    bound: "One for each long stream. Its size is the state's, which has what is open, not what has been.",
  },
  {
    name: 'claims',
    kind: 'rows end',
    bound:
      'A claim is kept for 30 days (a command), or as long as its stream says, 60 days at most. Then its partition is dropped.',
    shown: {
      file: 'packages/eventlog/src/maintenance.test.ts',
      test: 'a round makes partitions and drops expired claims; one that fails throws, and the next one catches up',
    },
  },
  {
    name: 'commands',
    kind: 'rows end',
    bound: 'Only in a database that version 0.2 has used: rows end after 30 days, then the table is dropped.',
    shown: {
      file: 'packages/eventlog/src/upgrade.test.ts',
      test: 'comes seven days after the last append of the old version; commands are claims from then on',
    },
    passing: true,
  },
  {
    name: 'former_appends',
    kind: 'rows end',
    bound:
      'Only during the upgrade from version 0.2: a row a day, dropped seven days after the last append of that version.',
    shown: {
      file: 'packages/eventlog/src/upgrade.test.ts',
      test: 'comes seven days after the last append of the old version; commands are claims from then on',
    },
    passing: true,
  },
  {
    name: 'checkpoints',
    kind: 'one each',
    bound:
      'A few for each relay, for each handler and log that it follows, and one for each projection and log (`losses:`). Those of a generation go with it.',
    shown: {
      file: 'apps/server/src/handlers/generation-hooks.test.ts',
      test: 'record where its consumers continue, and remove everything of a dropped generation',
    },
  },
  {
    name: 'followers',
    kind: 'one each',
    bound: 'A row for each queue that is bound to the log. It is deleted with the queue.',
    shown: {
      file: 'packages/messaging/src/relay/broken-queue.test.ts',
      test: 'keeps its keys, gets its bindings back, and is forgotten when it is deleted',
    },
  },
  {
    name: 'person_keys',
    kind: 'one each',
    bound:
      "A row for each person with personal data in the context's log: [personal data](../personal-data.md). It stays, without the key, once the person is erased.",
  },
  {
    name: 'stream_owners',
    kind: 'rows end',
    bound:
      'A row for each contended stream, 16 for each process. It ends with its owner, or 5 s after its last renewal.',
    shown: {
      file: 'packages/aggregates/src/owners.test.ts',
      test: 'a row that a crash has left ends by itself, also if the clock was set back; it is deleted after a while',
    },
  },
  {
    name: 'members',
    kind: 'rows end',
    bound:
      'A row for each process that runs. One that has stopped has none; that of one that died is deleted after a minute.',
    shown: {
      file: 'packages/messaging/src/members/members.test.ts',
      test: 'a row that is not written for 5 s is not seen, and is deleted after a minute',
    },
  },
  {
    name: 'parked_streams',
    kind: 'rows end',
    bound:
      'A row for each handler and stream whose event could not be handled, until it is redriven. An alert counts them.',
    shown: {
      file: 'packages/messaging/src/subscription/subscription.test.ts',
      test: 'a poison event: 3 retries, a dead letter, its stream parked; later events wait; a redrive handles all in order',
    },
  },
  {
    name: 'handler_cursors',
    kind: 'rows end',
    bound:
      "A row for each saga's handler and stream of which something has happened in the last two days: [cursors end](../bounds.md#cursors-end).",
    shown: {
      file: 'packages/sagas/src/cursor-ends.property.test.ts',
      test: 'each event is handled once, and no cursor is left',
    },
  },
  {
    name: 'timers',
    kind: 'rows end',
    bound: 'A row for each thing that is due later: it is deleted when it is done, or no longer due.',
    shown: {
      file: 'packages/sagas/src/timers.test.ts',
      test: 'fire when they are due, once, and are deleted when there is nothing more to do',
    },
  },
  {
    name: 'jobs',
    kind: 'one each',
    bound: 'A row for each job. `caudal jobs remove` deletes that of one that the code no longer declares.',
  },
  {
    name: 'migrations',
    kind: 'one each',
    bound: 'A row for each migration.',
  },
];

/** Tables that a context has beside those. */
export const contextTables: Record<string, Stored[]> = {
  carts: [
    {
      name: 'carts',
      kind: 'rows end',
      bound:
        "A row for each customer's and guest's cart, deleted after `CARTS_KEPT` or `CARTS_GUESTS_KEPT` without a change, but not while it is checked out; a customer's also at the erasure. Its size is bounded: [carts](../carts.md#bounds).",
      shown: {
        file: 'services/carts/src/checkout.test.ts',
        test: 'carts that nobody changes are abandoned once, and expire; guests sooner',
      },
    },
    {
      name: 'cart_commands',
      kind: 'rows end',
      bound: "A row for each idempotency key, deleted after 30 days, and at its customer's erasure.",
      shown: {
        file: 'services/carts/src/checkout.test.ts',
        test: 'carts that nobody changes are abandoned once, and expire; guests sooner',
      },
    },
  ],
  tracking: [
    {
      name: 'traces',
      kind: 'log',
      bound:
        'A row for each trace, in a partition for each month in which it happened; months leave for the archive after `TRACKING_ARCHIVE_AFTER_MONTHS`, if there is one: [old traces](../tracking-archive.md).',
    },
    {
      name: 'parcels',
      kind: 'log',
      bound:
        'A row for each parcel of which there was a trace or a shipment, with its latest 50 traces. It stays when they leave for the archive.',
    },
    {
      name: 'parcel_places',
      kind: 'one each',
      bound: 'A row for each parcel: where it was last. It ends with the row in `parcels`.',
    },
    {
      name: 'parcel_places_filled',
      kind: 'one each',
      bound: 'One row: how far the job `parcel-places` has come.',
    },
    {
      name: 'archived_trace_months',
      kind: 'log',
      bound:
        'A row for each month of traces that has left for the archive, and one more, at most every 30 days, for those of it that came later; one more after it was put back.',
    },
    {
      name: 'parcel_changes',
      kind: 'rows end',
      bound: 'A row for each parcel whose status has changed, until the event is in the log.',
      shown: {
        file: 'services/tracking/src/tracking.test.ts',
        test: 'a change of status becomes one event, however the traces are divided and ordered',
      },
    },
    {
      name: 'carrier_polls',
      kind: 'rows end',
      bound:
        'A row for each parcel of a shipment whose carrier is asked, until it would be asked for again after the parcel has ended or lost its shipment, or until the carrier has said nothing new for 30 days; 90 if it does not answer.',
      shown: {
        file: 'services/tracking/src/jobs/carrier-polls.test.ts',
        test: 'ends after 30 silent days, also of carriers that are not asked any more',
      },
    },
    {
      name: 'transit_sketches',
      kind: 'rows end',
      bound:
        'A row for each carrier, each of its destinations and each of its lanes of two countries, for this month and each of the twelve before it; older ones are deleted.',
      shown: {
        file: 'services/tracking/src/arrival.test.ts',
        test: 'what is older than twelve months is not learnt, and is forgotten',
      },
    },
    {
      name: 'parcel_links',
      kind: 'rows end',
      bound: 'A row for each public link to a parcel, ten a parcel at most; deleted after 180 days.',
      shown: {
        file: 'services/tracking/src/page/links.test.ts',
        test: 'links that have ended are deleted',
      },
    },
    {
      name: 'trace_inbox',
      kind: 'rows end',
      bound:
        'Without a broker: traces that are accepted, until they are written, up to 1,000 in a row; about `TRACKING_QUEUE_TRACES` at most, then more are refused. Each process counts them five times a second.',
      shown: {
        file: 'services/tracking/src/tracking.test.ts',
        test: 'refuses what is beyond its bound, records nothing of it, and takes more once it is written',
      },
    },
    {
      name: 'trace_inbox_position_seq',
      kind: 'one each',
      bound: 'The sequence of the inbox.',
    },
  ],
};

/** The tables of the schema `caudal_audit`. */
export const auditTables: Stored[] = [
  {
    name: 'records',
    kind: 'rows end',
    bound:
      'A record for each act of an operator and each command; of refused calls and reads as many as [its bounds](../audit.md#bounds) allow. In a partition a month, dropped after `CAUDAL_AUDIT_RETENTION_MONTHS`.',
    shown: {
      file: 'packages/audit/src/chain.test.ts',
      test: 'drops a month that is older than what is kept, says so in the chain, and what is left can be verified',
    },
  },
  { name: 'dropped', kind: 'one each', bound: 'A row for each month of records that was dropped.' },
  { name: 'retention', kind: 'one each', bound: 'One row.' },
  { name: 'migrations', kind: 'one each', bound: 'A row for each migration.' },
];

const dropped: Shown = {
  file: 'packages/projections/src/generations/rebuild-failures.test.ts',
  test: 'what a builder left is dropped when no process can create it again',
};

/** By projection: what it has a document for. Each is `<projection>.v<version>.<generation>`, in whichever store. */
export const views: Record<string, string> = {
  'api-keys': 'A document for each API key.',
  approvals: 'A document for each approval.',
  'order-details': 'A document for each order.',
  'payment-status': 'A document for each payment.',
  'product-search': 'A document for each product.',
  shipments: 'A document for each shipment.',
  'sales-by-day': 'A document for each country and day on which something was sold.',
  'stock-dashboard': 'A document for each product in stock.',
  'wallet-balances': 'A document for each wallet.',
  'wallet-transactions': 'A document for each movement of a wallet, as the log has, and one for each wallet.',
};

/** What stores of views have beside the views: tables in PostgreSQL, collections in MongoDB, indexes in Elasticsearch. */
export const besideViews: Stored[] = [
  {
    name: 'generations',
    kind: 'one each',
    bound:
      'A document for each projection: its generations. Besides the current one, those that are built or have just been replaced.',
    shown: dropped,
  },
  {
    name: '<projection>.v<version>.<generation>.facts',
    kind: 'view',
    bound: 'Of a multi-stream projection: a document for each stream that it follows. Dropped with the generation.',
  },
  {
    name: '<projection>.v<version>.<generation>.progress',
    kind: 'rows end',
    bound: 'How far a generation is built; dropped when it is.',
    shown: dropped,
    passing: true,
  },
];

/** The keys of a view in Redis. */
export const keys: Stored[] = [
  {
    name: 'caudal:cache:{<namespace>:<view>}:entry',
    kind: 'rows end',
    bound: 'A view that was read: it expires after the time of its cache.',
    shown: { file: 'test/e2e/stored.test.ts', test: 'every key in Redis expires' },
  },
  {
    name: 'caudal:cache:{<namespace>:<view>}:mark',
    kind: 'rows end',
    bound: 'The version of a view that was written: it expires after a minute.',
    shown: { file: 'test/e2e/stored.test.ts', test: 'every key in Redis expires' },
  },
  {
    name: 'caudal:rate:{<namespace>}:<caller>',
    kind: 'rows end',
    bound:
      "How many calls of a class a caller has made: a hash of the caller's name. It expires with its window, 10 s by default.",
    shown: {
      file: 'packages/cache/src/shared-counts.test.ts',
      test: 'a count ends with its window, and the next one begins at zero',
    },
    passing: true,
  },
];

export function storedPage(): string {
  return [
    '# What is stored',
    '',
    'Everything that Caudal makes in its servers, and why it does not grow without end: [bounds](../bounds.md). A test compares this',
    'list with what a running system has made.',
    '',
    '## Tables of each context in PostgreSQL',
    '',
    tableOf(tables),
    '## Tables of single contexts in PostgreSQL',
    '',
    tableOf(Object.values(contextTables).flat()),
    '## Tables of the audit log in PostgreSQL',
    '',
    'In the schema `caudal_audit`, one for each database: [audit](../audit.md).',
    '',
    tableOf(auditTables),
    '## Views',
    '',
    'In MongoDB, Elasticsearch or PostgreSQL, by the settings: a collection, an index or a table of this name. All of them are kept',
    'until their generation is replaced; a view that has ended leaves a document without content.',
    '',
    table(
      ['Name', 'Documents'],
      Object.entries(views).map(([name, documents]) => [`\`${name}.v<version>.<generation>\``, documents]),
    ),
    tableOf(besideViews),
    '## Keys in Redis',
    '',
    tableOf(keys),
    '## Queues in RabbitMQ',
    '',
    'A queue for each part of a handler and one for its dead letters, which are bounded by the policies',
    '([messages](../messages.md)). Messages end when they are handled; dead letters when their stream is redriven.',
    '`tracking.traces.work` has traces that are accepted, until they are written: 20,000 messages at most, then more are refused.',
    '',
  ].join('\n');
}

function tableOf(stored: Stored[]): string {
  return table(
    ['Name', 'What bounds it', 'Shown by'],
    stored.map(({ name, bound, shown }) => [`\`${name}\``, bound, shown ? `\`${shown.file}\`` : '']),
  );
}
