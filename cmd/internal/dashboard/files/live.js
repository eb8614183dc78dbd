import { h, show, count, clock } from './dom.js';
import { glimpse, chatLink } from './glimpse.js';

const keep = 300;
let filter = '';

/** Events as they come. */
export async function live({ place, signal }) {
  let source = null;
  let paused = false;
  let held = [];
  let seen = 0;
  let missed = 0;
  const state = h('span', { class: 'sub', role: 'status' }, 'connecting …');
  const rows = h('ol', { class: 'tail', 'aria-label': 'Events, the newest first' });
  const wrong = h('p', { class: 'error', role: 'alert' });
  const tell = (text) => {
    state.textContent = [text, `${count(seen)} events`, missed && `${count(missed)} left out`, held.length && `${count(held.length)} held back`].filter(Boolean).join(', ');
  };
  const add = (e) => {
    rows.prepend(row(e));
    while (rows.childElementCount > keep) rows.lastElementChild.remove();
  };
  const pause = h('button', { type: 'button', 'aria-pressed': 'false', click: () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    if (!paused) { held.forEach(add); held = []; }
    tell(paused ? 'paused' : 'live');
  } }, 'Pause');
  const connect = () => {
    source?.close();
    wrong.textContent = '';
    const query = new URLSearchParams(filter.split(',').map((f) => ['filter', f.trim()]));
    source = new EventSource(`/events?${query}`);
    source.onopen = () => tell(paused ? 'paused' : 'live');
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) { tell('connecting again …'); return; }
      tell('ended');
      const answer = await fetch(`/events?${query}`, { headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(3000) }).catch(() => null);
      if (answer && !answer.ok) wrong.textContent = (await answer.json()).error;
      else answer?.body?.cancel();
    };
    source.addEventListener('missed', (event) => { missed += Number(event.data); });
    source.onmessage = (message) => {
      seen++;
      const e = JSON.parse(message.data);
      if (!paused) add(e); else if (held.push(e) > keep) held.shift();
      tell(paused ? 'paused' : 'live');
    };
  };
  signal.addEventListener('abort', () => source?.close());
  const field = h('input', { type: 'search', value: filter, placeholder: 'conversation, *.liveagent', maxlength: 500, 'aria-describedby': 'filter-hint' });
  show(place, h('form', { class: 'panel filters', role: 'search', submit: (event) => { event.preventDefault(); filter = field.value.trim(); connect(); } },
    h('label', {}, 'Kinds or patterns', field), h('button', { type: 'submit', class: 'primary' }, 'Filter'), pause,
    h('button', { type: 'button', click: () => { show(rows); held = []; } }, 'Clear'),
    h('span', { class: 'hint', id: 'filter-hint' }, 'such as conversation.livechat.*; several, separated by commas')), wrong,
  h('section', { class: 'panel', 'aria-label': 'Events' }, h('p', {}, state), rows));
  connect();
}

function row(e) {
  const [kind, change] = e.type.replace('dev.parley.', '').split('.');
  const more = h('div', { hidden: true, class: 'whole' });
  const head = h('button', { type: 'button', class: 'line', 'aria-expanded': 'false', click: () => {
    const open = more.hidden;
    if (open && !more.firstChild) show(more, chatLink(e), h('pre', { tabindex: 0 }, JSON.stringify(e, null, 2)));
    more.hidden = !open;
    head.setAttribute('aria-expanded', String(open));
  } }, clock(e.time), h('span', { class: `chip ${change === 'created' ? 'ok' : change === 'deleted' ? 'bad' : 'warn'}` }, change), h('strong', {}, kind),
  h('span', { class: 'sub' }, `${e.source.slice(1)} ${e.subject ?? ''} r${e.revision}`), h('span', { class: 'glimpse' }, glimpse(e.data)));
  return h('li', {}, head, more);
}
