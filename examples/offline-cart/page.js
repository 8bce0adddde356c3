/** The cart of a guest, on one page: @caudal/carts does the work, this shows it. */
import { openBrowserCart } from '/carts/browser/browser-cart.ts';
import { addToLine, linesOf, removeLine } from '/carts/cart.ts';
import { valuesOf, writeField } from '/carts/fields.ts';
import { apiUrl } from '/settings.js';

const everyMs = 5_000;
const mostMs = 60_000;
const element = (id) => document.getElementById(id);

/** Throws the problem if the server has refused it. */
async function post(path, body, signal) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(apiUrl + path, { method: 'POST', headers, body: JSON.stringify(body), signal });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), answer);
  return answer;
}

// A guest is known by the id and the token of his cart. The link to another device has them behind its "#", which no server sees.
const guestOf = (text) => /^([0-9a-f-]{36})\.([A-Za-z0-9_-]{43})$/.exec(text ?? '')?.slice(1, 3);
const inPage = {};
/** `guest`: the cart of this browser. `linked`: one of another device, whose link was opened here. */
function remembered(which) {
  try {
    return localStorage.getItem(which) ?? '';
  } catch {
    return inPage[which] ?? '';
  }
}
function remember(which, text) {
  inPage[which] = text;
  try {
    localStorage.setItem(which, text);
  } catch {
    // The browser stores nothing. The cart says so, too.
  }
}
const say = (where, text) => {
  element(where).textContent = text;
};

/** Anyone can make a link: what is put into its cart is seen by whoever has made it. */
async function mayOpen() {
  element('question').hidden = false;
  say('state', 'Waiting for an answer');
  const answer = await new Promise((resolve) => {
    element('open').onclick = () => resolve(true);
    element('keep').onclick = () => resolve(false);
  });
  element('question').hidden = true;
  return answer;
}

const link = location.hash.slice(1);
history.replaceState(null, '', '/');
if (guestOf(link)) {
  if (link === remembered('guest')) remember('linked', '');
  else if (link !== remembered('linked') && (await mayOpen())) remember('linked', link);
}
/** The cart of another device, if this page shows one. It has a copy of its own: nothing of this browser's cart goes into it. */
const linked = remembered('linked');
element('back').hidden = !linked;
element('back').onclick = () => {
  remember('linked', '');
  location.reload();
};
const isGone = ({ reason }) => reason === 'GUEST_CART_NOT_FOUND' || reason === 'GUEST_CART_MERGED';

/** Sends a sync. The guest's cart is made with the first one: until then the cart needs no network. */
async function send(body, signal) {
  if (!linked && !guestOf(remembered('guest'))) {
    const { guestCartId, guestToken } = await post('/v1/guestCarts', {}, signal);
    remember('guest', `${guestCartId}.${guestToken}`);
  }
  const guest = linked || remembered('guest');
  element('share').href = `/#${guest}`;
  const [id, guestToken] = guestOf(guest);
  try {
    return await post(`/v1/guestCarts/${id}:sync`, { guestToken, ...body }, signal);
  } catch (error) {
    if (isGone(error) && remembered('guest') === guest) remember('guest', '');
    throw error;
  }
}

function show({ cart, isSent }) {
  const items = linesOf(cart).map(({ key, quantity }) => {
    const item = document.createElement('li');
    const remove = document.createElement('button');
    remove.textContent = 'Remove';
    remove.onclick = () => change((now) => removeLine(now, key));
    item.append(`${key} x ${quantity} `, remove);
    return item;
  });
  element('lines').replaceChildren(...items);
  const note = cart.fields.get('note');
  const text = element('note').elements.text;
  if (document.activeElement !== text) text.value = note ? (valuesOf(note)[0] ?? '') : '';
  element('state').textContent = isSent ? 'All sent' : 'Not sent yet';
}

/** What stays in the way until the next change. */
const lasting = () =>
  cart.isKept ? '' : 'This browser lets the page store nothing: the cart lasts until the page is closed.';

const name = linked ? `cart ${guestOf(linked)[0]}` : 'cart';
const cart = await openBrowserCart({ name, send, onChange: show });
say('trouble', lasting());
show(await cart.read());

let timer;
let delayMs = everyMs;
/** Synchronises now and from time to time, more and more seldom while it fails. */
async function sync() {
  clearTimeout(timer);
  try {
    await cart.sync();
    delayMs = everyMs;
    say('network', '');
  } catch (error) {
    delayMs = Math.min(2 * delayMs, mostMs);
    say('network', `Not synchronised: ${error.message}`);
    // What this copy has goes into another cart; that of another device is over.
    if (isGone(error) && !linked) await cart.sendAnew();
  }
  clearTimeout(timer);
  timer = setTimeout(sync, delayMs * (0.5 + Math.random() / 2));
}

async function change(act) {
  try {
    await cart.change(act);
    say('trouble', lasting());
  } catch (error) {
    return say('trouble', `Nothing was changed: ${error.message}`);
  }
  return sync();
}

element('add').onsubmit = (event) => {
  event.preventDefault();
  const product = event.target.elements.product.value;
  return change((now, by) => addToLine(now, product, 1, by));
};
element('note').onsubmit = (event) => {
  event.preventDefault();
  const write = { name: 'note', value: event.target.elements.text.value };
  document.activeElement?.blur();
  return change((now, by) => ({
    ...now,
    fields: writeField(now.fields, { ...write, ...by }, { note: 'last-writer-wins' }),
  }));
};
addEventListener('online', sync);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) sync();
});
// Not of importance to the cart: without it the page only needs a network to be opened.
navigator.serviceWorker
  ?.register('/worker.js')
  .catch((error) => say('network', `The page is not kept: ${error.message}`));
await sync();
