/** The style of a parcel's page. It is in the page, which loads nothing. */
import { createHash } from 'node:crypto';

/** Colours have a contrast of 4.5 or more, on the light ground and on the dark one. */
export const style = `
:root { color-scheme: light dark; --ground: #fff; --text: #1a1d21; --soft: #555c66; --line: #d5d9de; --mark: #0b5cad; --sea: #eef4fa }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171a; --text: #e8eaed; --soft: #a9b1bb; --line: #3a4149; --mark: #7ab8f5; --sea: #1b2127 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 44rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: 1rem; font-weight: normal; color: var(--soft); margin: 0 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; color: var(--soft) }
p { margin: .25rem 0 }
.status { font-size: 1.75rem; line-height: 1.25; font-weight: 600; margin: .25rem 0 }
.soft { color: var(--soft) }
ol.traces { list-style: none; margin: 0; padding: 0 }
ol.traces > li { display: grid; grid-template-columns: 6.5rem 1fr; gap: 0 .75rem; padding: .5rem 0; border-top: 1px solid var(--line) }
@media (max-width: 26rem) { ol.traces > li { grid-template-columns: 1fr } }
figure { margin: 0 }
svg { display: block; width: 100%; height: auto; background: var(--sea); border: 1px solid var(--line); border-radius: .25rem }
.grid { stroke: var(--line); fill: none; vector-effect: non-scaling-stroke }
.way { stroke: var(--mark); stroke-width: 2; fill: none; vector-effect: non-scaling-stroke }
.place { fill: var(--ground); stroke: var(--mark); stroke-width: 2; vector-effect: non-scaling-stroke }
.last { fill: var(--mark) }
svg text { fill: var(--soft); font-size: 11px }
@media (max-width: 32rem) { svg text { font-size: 18px } }
footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .875rem }
`;

/** Its SHA-256 in base64: the page's policy names it. */
export const styleHash = createHash('sha256').update(style).digest('base64');
