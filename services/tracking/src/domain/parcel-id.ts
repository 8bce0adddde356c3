/** The id of a parcel: of its carrier and tracking number, however they are spelled. */
import { hashOf, uuidOf } from '@caudal/kernel/ids.ts';

/** `DHL Express`, `dhl-express` and `DHL EXPRESS` are one carrier. */
export function carrierKey(carrier: string): string {
  const key = carrier
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '');
  // A name of nothing but punctuation is itself.
  return key === '' ? carrier : key;
}

/** `jd 0001 4600` and `JD00014600` are one number. */
export function numberKey(trackingNumber: string): string {
  return trackingNumber.normalize('NFKC').replace(/\s+/gu, '').toUpperCase();
}

/** A UUID, so that a database keeps it in 16 bytes. */
export function parcelId(carrier: string, trackingNumber: string): string {
  return idOfKeys(carrierKey(carrier), numberKey(trackingNumber));
}

/** The same of a carrier and a number in their one spelling. */
export const idOfKeys = (carrier: string, number: string): string => uuidOf(hashOf([carrier, number]));
