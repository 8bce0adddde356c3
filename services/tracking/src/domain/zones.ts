/** The time zone of a place of which only the country is known. */
import { offsetMs } from '@caudal/kernel/zones.ts';

/** Where most people of a country with several zones live, or the zone of its capital. */
const mainZones: Record<string, string> = {
  AU: 'Australia/Sydney',
  BR: 'America/Sao_Paulo',
  CA: 'America/Toronto',
  CL: 'America/Santiago',
  CN: 'Asia/Shanghai',
  DE: 'Europe/Berlin',
  EC: 'America/Guayaquil',
  ES: 'Europe/Madrid',
  FR: 'Europe/Paris',
  ID: 'Asia/Jakarta',
  KZ: 'Asia/Almaty',
  MX: 'America/Mexico_City',
  NZ: 'Pacific/Auckland',
  PT: 'Europe/Lisbon',
  RU: 'Europe/Moscow',
  UA: 'Europe/Kyiv',
  US: 'America/Chicago',
};

export interface CountryZone {
  zone: string;
  /** Whether all of the country has this time at that instant. */
  sure: boolean;
}

/** The zone of a country (ISO 3166-1, two letters) at an instant; undefined if the country is unknown. */
export function zoneOfCountry(country: string, at: number): CountryZone | undefined {
  if (!/^[A-Z]{2}$/.test(country)) return undefined;
  const zones = zonesOf(country);
  const zone = mainZones[country] ?? zones[0];
  if (zone === undefined) return undefined;
  const offset = offsetMs(zone, at);
  return { zone, sure: zones.every((other) => offsetMs(other, at) === offset) };
}

/** Countries are few, so the cache is bounded. */
const known = new Map<string, readonly string[]>();

function zonesOf(country: string): readonly string[] {
  let zones = known.get(country);
  if (!zones) {
    // Node has it; TypeScript's library does not name it yet.
    const locale = new Intl.Locale(`und-${country}`) as Intl.Locale & { getTimeZones(): string[] | undefined };
    zones = locale.getTimeZones() ?? [];
    known.set(country, zones);
  }
  return zones;
}
