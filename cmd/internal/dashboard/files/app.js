import { h, show, say } from './dom.js';
import { refreshSession, session, signIn, signOut } from './api.js';
import { overview } from './overview.js';
import { coverage } from './coverage.js';
import { deadLetters, deadLetter } from './dead.js';
import { live } from './live.js';
import { chats, chat } from './chats.js';

const main = document.getElementById('main');
let leave = null;

const routes = [
  [/^\/overview$/, 'Overview', overview],
  [/^\/coverage(?:\/([^/]+))?$/, 'Coverage', coverage],
  [/^\/dead$/, 'Dead letters', deadLetters],
  [/^\/dead\/(\d+)$/, 'Dead letter', deadLetter],
  [/^\/live$/, 'Live', live],
  [/^\/chats$/, 'Chats', chats],
  [/^\/chats\/([^/]+)\/([^/]+)\/(.+)$/, 'Chat', chat],
];

function decode(part) {
  try { return part === undefined ? undefined : decodeURIComponent(part); } catch { return part; }
}

function go(moveFocus) {
  if (location.hash === '#main') { main.focus(); return; }
  const path = location.hash.replace(/^#/, '') || '/overview';
  const [pattern, title, view] = routes.find(([p]) => p.test(path)) ?? routes[0];
  const found = pattern.exec(path) ?? [];
  leave?.();
  document.title = `${title} · Parley`;
  for (const link of document.querySelectorAll('.tabs a')) {
    const here = path.startsWith(link.hash.slice(1));
    if (here) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  const heading = h('h1', { tabindex: '-1' }, title);
  const place = h('div', { class: 'view' }, h('p', { class: 'hint' }, 'Looking …'));
  show(main, heading, place);
  const stop = new AbortController();
  const failed = (error) => {
    if (stop.signal.aborted || error.name === 'AbortError') return;
    show(place, h('div', { class: 'panel error', role: 'alert' }, h('p', {}, `This could not be read: ${error.message}`),
      h('button', { type: 'button', click: () => go(true) }, 'Try again')));
  };
  leave = () => stop.abort();
  Promise.resolve(view({ place, heading, params: found.slice(1).map(decode), signal: stop.signal, failed, again: () => go(false) })).catch(failed);
  if (moveFocus) {
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

const themes = { auto: ['◐', 'automatic'], light: ['☀', 'light'], dark: ['☾', 'dark'] };

function theme(name) {
  if (name === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  const button = document.getElementById('theme');
  button.textContent = themes[name][0];
  button.setAttribute('aria-label', `Theme: ${themes[name][1]}`);
  try { localStorage.setItem('theme', name); } catch { /* it is only not remembered */ }
}

function remembered() {
  try { return localStorage.getItem('theme') in themes ? localStorage.getItem('theme') : 'auto'; } catch { return 'auto'; }
}

theme(remembered());
document.getElementById('theme').addEventListener('click', () => {
  const names = Object.keys(themes);
  theme(names[(names.indexOf(remembered()) + 1) % names.length]);
});
document.getElementById('sign').addEventListener('click', () => (session.allowed ? signOut() : signIn()));
addEventListener('hashchange', () => go(true));
addEventListener('session', () => go(false));
refreshSession().catch((error) => say(`The server does not answer: ${error.message}`, true)).finally(() => go(false));
