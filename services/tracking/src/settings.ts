/** The settings of tracking. */
import { setting } from '@caudal/config/setting.ts';
import { parseCarriers, parseKeys, parseSecrets, parseUrls } from './carriers/parse-settings.ts';

export const settings = {
  TRACKING_QUEUE_TRACES: setting.int({
    description:
      'About how many traces wait to be written at most, if there is no RabbitMQ; more are refused. The queue in RabbitMQ has 20,000 messages of up to 1,000 traces.',
    default: '1000000',
    min: 1_000,
    max: 100_000_000,
  }),
  TRACKING_WRITE_RATE: setting.int({
    description: 'How many traces a second a process of the role worker writes at most; 0 for no bound.',
    default: '0',
    min: 0,
    max: 1_000_000,
  }),
  TRACKING_ARCHIVE_AFTER_MONTHS: setting.int({
    description: 'How many whole months of traces stay in PostgreSQL behind the present one, if there is an archive.',
    default: '36',
    min: 1,
    max: 120,
  }),
  TRACKING_CARRIERS: setting.parsed(
    {
      description:
        'The carriers, each with the format that it speaks: caudal, dhl or ups. The name is in the path of its webhook, and that of shipments must come to the same. Set it alike in all processes.',
      expects: 'NAME=FORMAT,... as acme=caudal,dhl=dhl',
      secrecy: 'public',
      optional: true,
    },
    parseCarriers,
  ),
  TRACKING_CARRIER_SECRETS: setting.parsed(
    {
      description:
        'What carriers sign their webhooks with, or show: a secret for each carrier that pushes, and two while one is replaced. The webhook of a carrier without one is not there.',
      expects: 'NAME:SECRET,... where "openssl rand -hex 32" prints a SECRET of 32 characters or more',
      secrecy: 'secret',
      optional: true,
    },
    parseSecrets,
  ),
  TRACKING_CARRIER_URLS: setting.parsed(
    {
      description: 'Where carriers are asked for parcels, for those that are. Set it alike in all processes.',
      expects: 'NAME=URL,... as dhl=https://api-eu.dhl.com; plain HTTP only to this machine',
      secrecy: 'public',
      optional: true,
    },
    parseUrls,
  ),
  TRACKING_CARRIER_KEYS: setting.parsed(
    {
      description:
        'What is shown to carriers that are asked: an API key, or for ups the id of a client and its secret. Only the role jobs needs it.',
      expects: 'NAME:KEY,... and NAME:ID:SECRET for ups',
      secrecy: 'secret',
      optional: true,
    },
    parseKeys,
  ),
  TRACKING_POLL_CONCURRENCY: setting.int({
    description: 'How many calls to one carrier are in flight at most.',
    default: '4',
    min: 1,
    max: 100,
  }),
  TRACKING_POLLS_PER_SECOND: setting.number({
    description: 'How many calls a second one carrier gets at most.',
    default: '5',
    min: 0.01,
    max: 1_000,
  }),
  TRACKING_POLL_TIMEOUT: setting.duration({
    description: 'How long a carrier may take to answer.',
    default: '10s',
    min: 100,
    max: 60_000,
  }),
};

export type TrackingSettings = typeof settings;
