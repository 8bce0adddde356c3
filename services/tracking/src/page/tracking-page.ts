/** A parcel's public page: HTML that needs no script. docs/tracking-page.md says what is on it, and what never is. */
import type { Estimate } from '../domain/eta.ts';
import type { ParcelState, Seen } from '../domain/parcel-state.ts';
import { zoneOf } from '../domain/transit.ts';
import { mapOf } from './map.ts';
import { foreign, html, Markup } from './markup.ts';
import { isAtTheDoor, placeOf } from './seen-place.ts';
import { style } from './style.ts';
import { english, type Texts } from './texts.ts';
import { localTime, utc, zoneOfTrace } from './times.ts';

interface ShownParcel {
  carrier: string;
  trackingNumber: string;
  /** How many traces it has; the state has the latest of them. */
  traceCount: number;
  /** Undefined while it has none. */
  state: ParcelState | undefined;
  /** The country that it goes to. */
  destination: string | undefined;
  /** When it arrives, if that is known. */
  estimate: Estimate | undefined;
  now: number;
}

/** The page as a document. */
export function trackingPage(parcel: ShownParcel, texts: Texts = english): string {
  const { carrier, trackingNumber, state, now } = parcel;
  const zone = state ? zoneOf({ carrier, destination: parcel.destination, state }, now) : utc;
  return html`<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<title>${texts.title}</title>
${styleElement}
</head>
<body>
<main>
<h1>${texts.parcel(foreign(carrier), foreign(trackingNumber))}</h1>
${statusOf(parcel, zone, texts)}
${arrivalOf(parcel, zone, texts)}
${state && wayOf(state, texts)}
<h2>${texts.history}</h2>
${historyOf(parcel, texts)}
<footer>${texts.asOf(timeOf(now, zone, texts))}</footer>
</main>
</body>
</html>
`.text;
}

/** Not escaped, since it is none of others: the policy has the hash of these bytes. */
const styleElement = new Markup(`<style>${style}</style>`);

/** A time in a sentence, and for programs. */
function timeOf(instant: number, zone: string, { language }: Texts): Markup {
  const { day, time, iso } = localTime(language, zone, instant);
  return html`<time datetime="${iso}">${`${day}, ${time}`}</time>`;
}

const zoneOfSeen = ({ at, zone, place }: Seen) => zoneOfTrace({ at, zone, country: place?.country });

function statusOf({ state }: ShownParcel, zone: string, texts: Texts): Markup {
  const words = state?.status ? texts.statuses[state.status] : texts.unknown;
  if (!state) return html`<p class="status">${words}</p>`;
  const why = Object.hasOwn(texts.subStatuses, state.subStatus ?? '') ? texts.subStatuses[state.subStatus!] : undefined;
  const source = state.recent.find(({ at, status }) => at === state.statusAt && status === state.status);
  const last = state.recent.map(placeOf).find((place) => place?.name !== undefined);
  const since =
    state.statusAt === undefined ? undefined : timeOf(state.statusAt, source ? zoneOfSeen(source) : zone, texts);
  return html`<p class="status">${words}</p>
${why && html`<p>${why}</p>`}
${since && html`<p class="soft">${texts.since(since)}</p>`}
${last?.name === undefined ? undefined : html`<p class="soft">${texts.lastPlace(foreign(last.name))}</p>`}`;
}

function arrivalOf({ state, estimate, now }: ShownParcel, zone: string, texts: Texts): Markup | undefined {
  const time = (at: number) => timeOf(at, zone, texts);
  if (!estimate) {
    const isLate = state?.eta !== undefined && state.eta < now && !state.ended && state.leg === 'OUTWARD';
    return isLate ? html`<p>${texts.wasExpected(time(state.eta!))}</p>` : undefined;
  }
  const { earliest, likely, latest, late } = estimate;
  const when =
    earliest === latest
      ? html`<p>${texts.expectedAt(time(likely))}</p>`
      : html`<p>${texts.expectedBetween(time(earliest), time(latest))}</p>
<p class="soft">${texts.likeliest(time(likely))}</p>`;
  return html`${when}
${late ? html`<p>${texts.late}</p>` : undefined}
<p class="soft">${texts.sureness(estimate)}</p>`;
}

function wayOf({ recent }: ParcelState, texts: Texts): Markup | undefined {
  const map = mapOf(
    recent.toReversed().flatMap((seen) => placeOf(seen) ?? []),
    texts,
  );
  return map && html`<h2>${texts.map}</h2>\n${map}`;
}

function historyOf({ state, traceCount }: ShownParcel, texts: Texts): Markup {
  if (!state || state.recent.length === 0) return html`<p>${texts.noTraces}</p>`;
  const days: { day: string; items: Markup[] }[] = [];
  for (const seen of state.recent) {
    const { day, time, iso } = localTime(texts.language, zoneOfSeen(seen), seen.reportedAt ?? seen.at);
    if (days.at(-1)?.day !== day) days.push({ day, items: [] });
    days.at(-1)!.items.push(itemOf(seen, html`<time class="soft" datetime="${iso}">${time}</time>`, texts));
  }
  const { length } = state.recent;
  return html`${length < traceCount ? html`<p class="soft">${texts.onlyLatest(length)}</p>` : undefined}
${days.map(
  ({ day, items }) => html`<h3>${day}</h3>
<ol class="traces">
${items}</ol>
`,
)}`;
}

function itemOf(seen: Seen, time: Markup, texts: Texts): Markup {
  const { status, subStatus = '', detail } = seen;
  const why = Object.hasOwn(texts.subStatuses, subStatus) ? texts.subStatuses[subStatus] : undefined;
  const place = placeOf(seen)?.name;
  const words = detail !== undefined && !isAtTheDoor(seen) ? foreign(detail) : undefined;
  const own = status && texts.statuses[status];
  return html`<li>${time}<div>
${own && html`<p><strong>${own}</strong>${why && html` ${why}`}</p>`}
${words && html`<p>${words}</p>`}
${place === undefined ? undefined : html`<p class="soft">${foreign(place)}</p>`}
</div></li>
`;
}
