/** The words of a parcel's page, in English. Another language is another object of this type. */
import type { Estimate } from '../domain/eta.ts';
import type { Status } from '../domain/trace.ts';
import { html, type Markup } from './markup.ts';

export interface Texts {
  /** Of the words, by BCP 47; days and times are written as it does. */
  language: string;
  title: string;
  /** The heading over the status. */
  parcel(carrier: Markup, trackingNumber: Markup): Markup;
  statuses: Record<Status, string>;
  /** Nothing is known of the parcel yet. */
  unknown: string;
  /** By sub-status: why it is in its status. One that is missing here is not shown. */
  subStatuses: Record<string, string>;
  since(time: Markup): Markup;
  lastPlace(place: Markup): Markup;
  /** When it arrives. */
  expectedAt(time: Markup): Markup;
  expectedBetween(from: Markup, to: Markup): Markup;
  likeliest(time: Markup): Markup;
  sureness(estimate: Pick<Estimate, 'source' | 'sureness'>): string;
  late: string;
  /** The carrier's time is over, and nothing else is known. */
  wasExpected(time: Markup): Markup;
  history: string;
  /** The traces that are shown are not all. */
  onlyLatest(count: number): string;
  noTraces: string;
  map: string;
  /** In place of the picture: the places in their order. */
  way(places: Markup): Markup;
  unnamedPlace: string;
  north: string;
  south: string;
  east: string;
  west: string;
  asOf(time: Markup): Markup;
}

export const english: Texts = {
  language: 'en-GB',
  title: 'Your parcel',
  parcel: (carrier, trackingNumber) => html`Parcel ${trackingNumber} with ${carrier}`,
  statuses: {
    PRE_TRANSIT: 'Announced to the carrier',
    IN_TRANSIT: 'On its way',
    OUT_FOR_DELIVERY: 'Out for delivery',
    AVAILABLE_FOR_PICKUP: 'Ready to be picked up',
    FAILED_ATTEMPT: 'Delivery was tried',
    EXCEPTION: 'Held up',
    DELIVERED: 'Delivered',
    RETURNING: 'On its way back to the sender',
    RETURNED: 'Back at the sender',
    EXPIRED: 'No news from the carrier',
    CANCELLED: 'Cancelled',
  },
  unknown: 'No news yet',
  subStatuses: {
    LABEL_CREATED: 'The carrier does not have it yet.',
    PICKUP_SCHEDULED: 'The carrier is going to collect it.',
    PICKUP_FAILED: 'The carrier could not collect it.',
    ACCEPTED: 'The carrier has it.',
    DEPARTED: 'It has left a depot.',
    ARRIVED: 'It has reached a depot.',
    CUSTOMS_STARTED: 'It is at customs.',
    CUSTOMS_CLEARED: 'Customs have let it pass.',
    HANDED_OVER: 'Another carrier has taken it over.',
    RESCHEDULED: 'The delivery was put off.',
    REROUTED: 'It goes to another place.',
    RETURN_CANCELLED: 'It does not go back after all.',
    WITH_COURIER: 'It is in the vehicle that delivers it.',
    AT_PICKUP_POINT: 'It waits at a pick-up point.',
    AT_LOCKER: 'It waits in a locker.',
    AT_DEPOT: 'It waits at a depot.',
    NOT_AT_HOME: 'Nobody was there to take it.',
    REFUSED: 'It was not accepted.',
    ADDRESS_PROBLEM: 'Something is wrong with the address.',
    NO_ACCESS: 'The courier could not get in.',
    PAYMENT_DUE: 'Something is to be paid first.',
    PROOF_OF_AGE_MISSING: 'A proof of age was missing.',
    DELAYED: 'It is delayed.',
    WEATHER: 'The weather holds it up.',
    DAMAGED: 'It is damaged.',
    LOST: 'It is lost.',
    CUSTOMS_HELD: 'Customs hold it.',
    UNCLAIMED: 'It was not picked up.',
    HELD: 'The carrier holds it.',
    ACTION_REQUIRED: 'The carrier waits for an answer.',
    END_VOIDED: 'What was reported before was a mistake.',
    TO_RECIPIENT: 'It was handed over.',
    TO_NEIGHBOUR: 'A neighbour has it.',
    TO_SAFE_PLACE: 'It was left in a safe place.',
    COLLECTED: 'It was picked up.',
    UNDELIVERABLE: 'It could not be delivered.',
    REQUESTED: 'That was asked for.',
    TO_SENDER: 'The sender has it.',
    NO_INFORMATION: 'The carrier has said nothing for long.',
    LABEL_VOIDED: 'The label was withdrawn.',
  },
  since: (time) => html`Since ${time}`,
  lastPlace: (place) => html`Last seen: ${place}`,
  expectedAt: (time) => html`Expected ${time}`,
  expectedBetween: (from, to) => html`Expected between ${from} and ${to}`,
  likeliest: (time) => html`Most likely ${time}`,
  sureness({ source, sureness }) {
    if (source === 'CARRIER') return 'The carrier says so.';
    if (sureness === 'HIGH') return 'Quite sure: most such parcels take as long.';
    return sureness === 'MEDIUM'
      ? 'Fairly sure: such parcels take more or less as long.'
      : 'Not sure: little is known of such parcels.';
  },
  late: 'It is later than the carrier had expected.',
  wasExpected: (time) => html`It is late: the carrier had expected ${time}`,
  history: 'What has happened',
  onlyLatest: (count) => `The latest ${count} reports.`,
  noTraces: 'The carrier has reported nothing yet.',
  map: 'Its way',
  way: (places) => html`The parcel was seen, in this order, in: ${places}.`,
  unnamedPlace: 'a place without a name',
  north: 'N',
  south: 'S',
  east: 'E',
  west: 'W',
  asOf: (time) => html`As of ${time}. Times are those of the place, as far as it is known.`,
};
