// Everything that is shown is made here: texts become text nodes, never markup. The server's policy (Trusted Types) forbids the rest.

const allowedLinks = /^(#\/|https?:\/\/)/;

/** Makes an element. A prop that is a function listens to its event; children are elements, or texts. */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** Makes an element of SVG. */
export function svg(tag, props, ...children) {
  return build(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') {
      element.addEventListener(name, value);
    } else if (name === 'class') {
      element.setAttribute('class', value);
    } else if (name === 'href' && !allowedLinks.test(value)) {
      throw new Error(`no link of ours: ${value}`);
    } else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'open') {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Replaces what a place holds, and keeps the focus on what has the same data-key. */
export function show(place, ...nodes) {
  const key = document.activeElement?.dataset?.key;
  const open = new Set([...place.querySelectorAll('details[open][data-key]')].map((d) => d.dataset.key));
  place.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
  for (const d of place.querySelectorAll('details[data-key]')) if (open.has(d.dataset.key)) d.open = true;
  if (key) [...place.querySelectorAll('[data-key]')].find((e) => e.dataset.key === key)?.focus({ preventScroll: true });
}

/** Says something without moving the focus. */
export function say(text, bad = false) {
  const toast = document.getElementById('toast');
  toast.textContent = text;
  toast.className = bad ? 'toast shown bad' : 'toast shown';
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.className = 'toast'; }, 6000);
}

/** Opens a dialog, and tells when it is closed. */
export function dialog(title, ...content) {
  const close = h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', click: () => box.close() }, '✕');
  const box = h('dialog', { 'aria-label': title }, h('div', { class: 'dialog-head' }, h('h2', {}, title), close), content);
  box.addEventListener('close', () => box.remove());
  box.addEventListener('click', (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks before something that cannot be undone. */
export function confirm(title, text, label) {
  return new Promise((resolve) => {
    let yes = false;
    const box = dialog(title, h('p', {}, text), h('div', { class: 'row end' },
      h('button', { type: 'button', click: () => box.close() }, 'Cancel'),
      h('button', { type: 'button', class: 'danger', click: () => { yes = true; box.close(); } }, label)));
    box.addEventListener('close', () => resolve(yes));
  });
}

const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (n) => number.format(n ?? 0);
export const short = (n) => compact.format(n ?? 0);
export const rate = (n) => (n === null || n === undefined ? '–' : n > 0 && n < 10 ? n.toFixed(1) : count(Math.round(n)));

/** Writes a span in seconds as a person says it. */
export function span(s) {
  if (s === null || s === undefined) return '–';
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** A moment, as its reader's clock shows it. */
export function when(text) {
  if (!text) return '–';
  const t = new Date(text);
  return h('time', { datetime: text, title: text }, t.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' }));
}

export const ago = (text) => (text ? `${span(Math.max(0, (Date.now() - new Date(text)) / 1000))} ago` : 'never');

/** A text with its `commands` set apart. */
export const prose = (text) => String(text).split(/`([^`]+)`/).map((part, i) => (i % 2 ? h('code', {}, part) : part));

/** A moment in few letters: the clock, and the day where it is another. */
export function clock(text) {
  const t = new Date(text);
  const day = t.toDateString() === new Date().toDateString() ? '' : `${t.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} `;
  return h('time', { datetime: text, title: text }, day + t.toLocaleTimeString('en-GB', day ? { timeStyle: 'short' } : {}));
}

/** The plural of what is counted. */
export const many = (n, one, more) => `${count(n)} ${n === 1 ? one : more ?? `${one}s`}`;
