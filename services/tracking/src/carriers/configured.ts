/** The carriers as the settings name them. */
import { ConfigError, type Values } from '@caudal/config/config.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { TrackingSettings } from '../settings.ts';
import type { PolledCarrier } from './ask.ts';
import { apiKey, type Credentials, clientCredentials } from './credentials.ts';
import { formats } from './formats.ts';
import type { CarrierAdapter } from './port.ts';
import type { CarrierEndpoint } from './webhook.ts';

type Settings = Values<TrackingSettings>;

/** The carriers that push, by name. Throws ConfigError if a secret is of a carrier that is not named. */
export function pushingCarriers(settings: Settings): ReadonlyMap<string, CarrierEndpoint> {
  const adapters = adaptersOf(settings);
  const secrets = [...(settings.TRACKING_CARRIER_SECRETS ?? [])];
  return new Map(
    secrets.map(([name, own]) => [
      name,
      { adapter: adapterOf(adapters, 'TRACKING_CARRIER_SECRETS', name), secrets: own },
    ]),
  );
}

/** The names of the carriers that are asked. */
export function askedCarriers(settings: Settings): ReadonlySet<string> {
  return new Set(settings.TRACKING_CARRIER_URLS?.keys() ?? []);
}

/** The carriers that are asked, ready to be. Throws ConfigError if one can't be, or nothing is there to be shown to it. */
export function polledCarriers(settings: Settings, clock: Clock): PolledCarrier[] {
  const adapters = adaptersOf(settings);
  return [...(settings.TRACKING_CARRIER_URLS ?? [])].map(([name, base]) => {
    const adapter = adapterOf(adapters, 'TRACKING_CARRIER_URLS', name);
    return {
      ...{ adapter, base },
      credentials: credentialsOf(settings, { adapter, base }, clock),
      concurrency: settings.TRACKING_POLL_CONCURRENCY,
      perSecond: settings.TRACKING_POLLS_PER_SECOND,
      timeoutMs: settings.TRACKING_POLL_TIMEOUT,
    };
  });
}

function credentialsOf(
  settings: Settings,
  { adapter: { name, poll }, base }: Pick<PolledCarrier, 'adapter' | 'base'>,
  clock: Clock,
): Credentials {
  const wrong = (wrong: string, fix: string) => new ConfigError([{ name: 'TRACKING_CARRIER_KEYS', wrong, fix }]);
  const shown = settings.TRACKING_CARRIER_KEYS?.get(name);
  if (!shown) throw wrong(`it has none for ${name}, which TRACKING_CARRIER_URLS says is asked`, `Add ${name}:KEY`);
  if (poll?.tokenPath === undefined) return apiKey(shown.join(':'));
  const [clientId, clientSecret] = shown;
  if (clientSecret === undefined)
    throw wrong(`it has one part for ${name}, which sells tokens to clients`, `Write ${name}:ID:SECRET`);
  const tokenUrl = `${base}${poll.tokenPath}`;
  return clientCredentials({ tokenUrl, clientId, clientSecret, timeoutMs: settings.TRACKING_POLL_TIMEOUT, clock });
}

const adaptersOf = (settings: Settings): Map<string, CarrierAdapter> =>
  new Map([...(settings.TRACKING_CARRIERS ?? [])].map(([name, format]) => [name, formats[format](name)]));

function adapterOf(adapters: ReadonlyMap<string, CarrierAdapter>, setting: string, name: string): CarrierAdapter {
  const adapter = adapters.get(name);
  if (adapter) return adapter;
  const wrong = `it names the carrier ${name}, which TRACKING_CARRIERS does not`;
  throw new ConfigError([{ name: setting, wrong, fix: `Add ${name}=FORMAT there` }]);
}
