/** The formats that carriers may speak, by the name that a setting gives. */
import { caudalFormat } from './caudal-format.ts';
import { dhl } from './dhl.ts';
import type { CarrierAdapter } from './port.ts';
import { ups } from './ups.ts';

export type FormatName = 'caudal' | 'dhl' | 'ups';

/** Makes the adapter of a carrier of this name. */
export const formats: Record<FormatName, (carrier: string) => CarrierAdapter> = {
  caudal: caudalFormat,
  dhl,
  ups,
};
