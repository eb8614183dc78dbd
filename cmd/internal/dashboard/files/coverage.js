import { h, show, dialog, count, short, when, ago, many } from './dom.js';
import { get, post, action } from './api.js';

const states = { complete: ['✓', 'complete'], running: ['◐', 'running'], planned: ['○', 'planned'], partial: ['◧', 'partial'], failed: ['✕', 'failed'] };
const weeksWithCounts = 9;
const every = 10000;
const weekday = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });

/** Which windows are read, a calendar for each stream of a source. */
export async function coverage({ place, heading, params, signal }) {
  let timer = null;
  signal.addEventListener('abort', () => clearTimeout(timer));
  const { status } = await get('/api/overview', {}, signal);
  const names = [...new Set(status.sources.map((l) => l.source))];
  if (names.length === 0) {
    show(place, h('p', { class: 'panel hint' }, 'PARLEY_SOURCES names none.'));
    return;
  }
  const source = names.includes(params[0]) ? params[0] : names[0];
  heading.textContent = `Coverage of ${source}`;
  const look = async () => {
    clearTimeout(timer);
    try {
      const { streams } = await get('/api/coverage', { source }, signal);
      place.classList.remove('stale');
      draw(place, names, source, streams, look);
    } catch (error) {
      if (signal.aborted) return;
      if (!place.querySelector('.streams')) throw error;
      place.classList.add('stale');
    }
    if (!signal.aborted) timer = setTimeout(look, every);
  };
  await look();
}

function draw(place, names, source, streams, again) {
  show(place,
    h('nav', { class: 'pills', 'aria-label': 'Sources' }, names.map((name) => h('a', { href: `#/coverage/${encodeURIComponent(name)}`, 'aria-current': name === source ? 'page' : null, 'data-key': `source ${name}` }, name))),
    h('ul', { class: 'legend', 'aria-label': 'Signs' }, Object.entries(states).map(([state, [sign, word]]) => h('li', {}, h('span', { class: 'key', 'data-state': state, 'aria-hidden': 'true' }, sign), word))),
    h('div', { class: 'streams' }, streams.map((s) => card(source, s, { again }))));
}

function card(source, s, context) {
  const counts = Object.entries(s.counts).filter(([, n]) => n > 0).map(([state, n]) => `${count(n)} ${state}`).join(', ') || 'nothing yet';
  const body = s.snapshot ? snapshot(source, s, context) : calendar(source, s, context);
  return h('section', { class: 'panel stream', 'aria-label': `${source} ${s.stream}` }, h('h2', {}, s.stream), h('p', { class: 'sub' }, `${counts}; ${many(s.records, 'record')}`), body);
}

function snapshot(source, s, context) {
  const w = s.window;
  return [h('p', {}, h('span', { class: 'key', 'data-state': w?.state ?? 'planned', 'aria-hidden': 'true' }, states[w?.state ?? 'planned'][0]), ` A snapshot, ${w?.read_at ? `last read ${ago(w.read_at)}` : 'not read yet'}.`),
    w?.error && h('p', { class: 'error' }, w.error), readAgain('Read again', source, s.stream, {}, context)];
}

function readAgain(label, source, stream, range, { again }, close) {
  return action(label, { class: 'small', 'data-key': `again ${stream} ${range.from ?? ''}`, 'aria-label': `${label}: ${source} ${stream}` }, async () => {
    const { windows } = await post('/api/read-again', { source, stream, from: range.from ?? '', to: range.to ?? '' });
    close?.();
    again();
    return windows ? `${many(windows, 'window')} will be read again.` : 'Nothing was read there yet: it is planned anyway.';
  });
}

function calendar(source, s, context) {
  if (s.days.length === 0) return h('p', { class: 'hint' }, 'Nothing is planned yet.');
  const first = day(s.days[0]);
  const blanks = (first.getUTCDay() + 6) % 7; // weeks begin on Monday
  const small = (blanks + s.days.length) / 7 > weeksWithCounts;
  const cells = s.days.map((d, i) => cell(d, small, i === s.days.length - 1, `${s.stream} ${d.from}`, () => details(source, s, d, context)));
  const grid = h('div', { class: small ? 'calendar small' : 'calendar', role: 'group', 'aria-label': `Days of ${s.stream}; arrow keys move`, keydown: (event) => move(event, cells, small) },
    !small && ['M', 'T', 'W', 'T', 'F', 'S', 'S'].map((t) => h('span', { class: 'weekday', 'aria-hidden': 'true' }, t)),
    Array.from({ length: blanks }, () => h('span', { class: 'blank' })), cells);
  return [h('div', { class: 'scroll' }, grid), s.more && h('p', { class: 'hint' }, 'Older days are there too: parley coverage shows them.')];
}

const day = (d) => new Date(`${d.from.slice(0, 10)}T00:00:00Z`);

function cell(d, small, reachable, key, open) {
  const state = d.state ?? 'none';
  const [sign, word] = states[state] ?? ['', 'nothing is wanted'];
  const label = `${weekday.format(day(d))}: ${word}${d.windows ? `, ${many(d.records, 'record')} in ${many(d.windows, 'window')}` : ''}`;
  return h('button', { type: 'button', class: 'day', 'data-state': state, 'data-key': key, 'aria-label': label, title: label, tabindex: reachable ? 0 : -1, click: open },
    small ? sign : [h('span', { class: 'date' }, day(d).getUTCDate() === 1 ? day(d).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' }) : day(d).getUTCDate()), h('span', { class: 'sign' }, sign), h('span', { class: 'records' }, d.state === 'complete' || d.records ? short(d.records) : '')]);
}

function move(event, cells, small) {
  const [side, down] = small ? [7, 1] : [1, 7];
  const by = { ArrowRight: side, ArrowLeft: -side, ArrowDown: down, ArrowUp: -down, Home: -cells.length, End: cells.length }[event.key];
  const at = cells.indexOf(document.activeElement);
  if (!by || at < 0) return;
  event.preventDefault();
  const next = cells[Math.min(cells.length - 1, Math.max(0, at + by))];
  for (const c of cells) c.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

async function details(source, s, d, context) {
  const place = h('div', {}, h('p', { class: 'hint' }, 'Looking …'));
  const box = dialog(`${s.stream}, ${d.from.slice(0, 10)}`, h('p', { class: 'sub' }, `${source}, days of ${s.timezone}`), place);
  try {
    const { windows, more } = await get('/api/windows', { source, stream: s.stream, from: d.from, to: d.to });
    const rows = windows.map((w) => h('tr', {}, h('th', { scope: 'row' }, when(w.from), ' to ', when(w.to)),
      h('td', {}, h('span', { class: 'key', 'data-state': w.state, 'aria-hidden': 'true' }, states[w.state]?.[0] ?? ''), ` ${w.state}`, w.attempts > 0 && h('span', { class: 'sub bad' }, `attempt ${w.attempts}: ${w.error ?? ''}`)),
      h('td', { class: 'num' }, count(w.records)), h('td', { class: 'num' }, count(w.requests)), h('td', {}, w.read_at ? ago(w.read_at) : '–'),
      h('td', {}, readAgain('Again', source, s.stream, w, context, () => box.close()))));
    show(place, windows.length ? h('div', { class: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ['Window', 'State', 'Records', 'Requests', 'Read', ''].map((t) => h('th', { scope: 'col' }, t || h('span', { class: 'hidden' }, 'Action'))))), h('tbody', {}, rows)))
      : h('p', {}, 'Nothing is wanted of this day.'),
    more > 0 && h('p', { class: 'hint' }, `and ${count(more)} more`),
    windows.length > 0 && h('div', { class: 'row end' }, readAgain('Read the day again', source, s.stream, d, context, () => box.close())));
  } catch (error) {
    show(place, h('p', { class: 'error', role: 'alert' }, error.message));
  }
}
