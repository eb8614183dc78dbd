import { h, show, count, rate, span, ago, many, prose } from './dom.js';
import { get, post, action } from './api.js';
import { spark, last, highest } from './chart.js';

const every = 5000;

/** How everything stands, looked at again every few seconds. */
export async function overview({ place, signal }) {
  let timer = null;
  signal.addEventListener('abort', () => clearTimeout(timer));
  const look = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden) draw(place, await get('/api/overview', {}, signal), look);
    } catch (error) {
      if (signal.aborted) return;
      if (place.querySelector('.figures')) place.classList.add('stale'); else throw error;
    }
    if (!signal.aborted) timer = setTimeout(look, every);
  };
  await look();
}

function draw(place, data, look) {
  place.classList.remove('stale');
  show(place, attention(data), figures(data), sources(data), sinks(data, look),
    h('p', { class: 'hint' }, `As of ${new Date(data.at).toLocaleTimeString('en-GB')}; lines show the last hour, as far as this process has seen it.`));
}

function attention({ status }) {
  if (status.attention.length === 0) return h('section', { class: 'panel calm', 'aria-label': 'Attention' }, h('p', {}, h('span', { class: 'mark ok', 'aria-hidden': 'true' }, '✓'), 'Nothing needs attention'));
  return h('section', { class: 'panel attention', 'aria-labelledby': 'attention' }, h('h2', { id: 'attention' }, 'Needs attention'),
    h('ul', {}, status.attention.map((line) => h('li', {}, prose(line), /^\d+ dead letters? of /.test(line) && [' ', h('a', { href: '#/dead' }, 'Look at them')]))));
}

function figures({ status, series }) {
  const dead = Object.values(status.dead_letters).reduce((a, b) => a + b, 0);
  const now = last(series.events);
  const figure = (label, value, note, extra) => h('div', { class: 'panel figure' }, h('dt', {}, label), h('dd', {}, h('span', { class: 'value' }, value), extra, h('span', { class: 'note' }, note)));
  return h('dl', { class: 'figures', 'aria-label': 'In figures' },
    figure('Events', rate(now), 'a minute', spark(series.events, `events a minute, now ${rate(now)}, at most ${rate(highest(series.events))}`)),
    figure('Not processed yet', count(status.raw_unprocessed), status.raw_oldest ? `records, the oldest ${ago(status.raw_oldest)}` : 'records'),
    figure('Dead letters', h('a', { href: '#/dead' }, count(dead)), dead ? 'wait for somebody' : 'none'),
    figure('Running', `${status.alive.poll ?? 0} + ${status.alive.process ?? 0}`, 'pollers and processors'));
}

function group(lines) {
  const bySource = new Map();
  for (const l of lines) bySource.set(l.source, [...(bySource.get(l.source) ?? []), l]);
  return bySource;
}

const sum = (lines, ...states) => lines.reduce((n, l) => n + states.reduce((m, s) => m + (l.windows[s] ?? 0), 0), 0);

function chip(tone, text) { return h('span', { class: `chip ${tone}` }, text); }

function sourceState(lines) {
  const [l] = lines;
  if (l.paused) return chip('bad', 'refused');
  if (l.held_until) return chip('warn', 'asked to wait');
  if (sum(lines, 'failed')) return chip('bad', 'failing');
  if (sum(lines, 'partial')) return chip('warn', 'partial');
  if (lines.every((x) => !x.fresh_at)) return chip('idle', 'never read');
  return chip('ok', 'reading');
}

function cell(label, ...content) { return h('td', { 'data-label': label }, content); }

function sources({ status, series }) {
  const rows = [...group(status.sources)].map(([name, lines]) => {
    const timed = lines.filter((l) => !l.snapshot && l.fresh_at);
    const lag = timed.length ? Math.max(...timed.map((l) => l.lag_s ?? 0)) : undefined;
    const line = series.sources[name] ?? {};
    const failed = sum(lines, 'failed');
    return h('tr', {}, h('th', { scope: 'row' }, h('a', { href: `#/coverage/${encodeURIComponent(name)}` }, name), h('span', { class: 'sub' }, lines[0].vendor)),
      cell('State', sourceState(lines)),
      cell('Lag', h('span', { class: 'num' }, span(lag)), spark(line.lag ?? [], `lag of ${name}, now ${span(lag)}, at most ${span(highest(line.lag))}`, { tone: 'calm' })),
      cell('Events a minute', h('span', { class: 'num' }, rate(last(line.events))), spark(line.events ?? [], `events a minute of ${name}, now ${rate(last(line.events))}`)),
      cell('Windows', h('span', { class: 'windows' }, `${count(sum(lines, 'complete'))} complete, ${count(sum(lines, 'planned', 'running'))} to read`, failed > 0 && [', ', h('strong', { class: 'bad' }, `${count(failed)} failed`)]), streams(name, lines)),
      cell('Budget', budget(name, lines[0])));
  });
  return table('Sources', ['Source', 'State', 'Lag', 'Events a minute', 'Windows', 'Budget'], rows, 'PARLEY_SOURCES names none.');
}

function budget(name, line) {
  const [, requests, unit] = /^(\d+)\/(\w)/.exec(line.rate) ?? [];
  if (!requests) return h('span', {}, line.rate && line.rate !== '0' ? line.rate : 'no limit');
  const perMinute = Number(requests) * { s: 60, m: 1, h: 1 / 60 }[unit];
  const text = `${count(line.requests_last_minute)} of ${rate(perMinute)} a minute`;
  return [h('meter', { min: 0, max: perMinute, high: perMinute * 0.9, value: line.requests_last_minute, 'aria-label': `budget of ${name}: ${text}` }), h('span', { class: 'sub' }, text)];
}

function streams(name, lines) {
  return h('details', { 'data-key': `streams ${name}` }, h('summary', { 'data-key': `sum ${name}` }, many(lines.length, 'stream')),
    h('table', { class: 'inner' }, h('thead', {}, h('tr', {}, ['Stream', 'Up to', 'Complete', 'To read', 'Failed'].map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, lines.map((l) => h('tr', {}, h('th', { scope: 'row' }, l.stream), h('td', {}, l.fresh_at ? ago(l.fresh_at) : 'never read'),
        h('td', { class: 'num' }, count(l.windows.complete)), h('td', { class: 'num' }, count(l.due + (l.windows.running ?? 0))), h('td', { class: 'num' }, count(l.windows.failed)))))));
}

function sinkState(l, live) {
  if (l.halted_since) return chip('warn', 'paused');
  if (l.never_ran) return chip('idle', 'has never run');
  if (l.paused || live?.failing) return chip('bad', 'failing');
  if (!l.owned && l.waiting + l.in_hand > 0) return chip('bad', 'nobody delivers');
  return chip('ok', l.owned ? 'delivering' : 'idle');
}

function sinks({ status, series, live }, look) {
  const rows = status.sinks.map((l) => {
    const line = series.sinks[l.sink] ?? {};
    const mine = live[l.sink];
    const trouble = l.paused || (mine?.failing && mine.last_error);
    return h('tr', {}, h('th', { scope: 'row' }, l.sink),
      cell('State', sinkState(l, mine), trouble && h('span', { class: 'sub bad' }, trouble)),
      cell('Waiting', h('span', { class: 'num' }, count(l.waiting)), spark(line.waiting ?? [], `events that wait for ${l.sink}, now ${count(l.waiting)}`, { tone: 'calm' }),
        h('span', { class: 'sub' }, `${count(l.in_hand)} in hand${l.replay_waiting ? `, ${count(l.replay_waiting)} again` : ''}`)),
      cell('Delivered a minute', h('span', { class: 'num' }, rate(last(line.delivered))), spark(line.delivered ?? [], `events a minute delivered to ${l.sink}, now ${rate(last(line.delivered))}`)),
      cell('Failures', mine ? many(mine.failed, 'failed attempt') : 'in another process', h('span', { class: 'sub' }, l.dead_letters ? h('a', { href: '#/dead' }, many(l.dead_letters, 'dead letter')) : 'no dead letters')),
      cell('', steer(l, look)));
  });
  return table('Sinks', ['Sink', 'State', 'Waiting', 'Delivered a minute', 'Failures', ''], rows, 'PARLEY_SINKS names none.');
}

function steer(l, look) {
  const verb = l.halted_since ? 'resume' : 'pause';
  return action(l.halted_since ? 'Resume' : 'Pause', { 'data-key': `steer ${l.sink}`, 'aria-label': `${l.halted_since ? 'Resume' : 'Pause'} the sink ${l.sink}` }, async () => {
    await post(`/api/sinks/${encodeURIComponent(l.sink)}/${verb}`);
    setTimeout(look, 300);
    return verb === 'pause' ? `${l.sink} is paused; its backlog waits.` : `${l.sink} goes on.`;
  });
}

function table(title, head, rows, empty) {
  const id = title.toLowerCase();
  return h('section', { class: 'panel', 'aria-labelledby': id }, h('h2', { id }, title),
    rows.length ? h('div', { class: 'scroll' }, h('table', { class: 'cards' }, h('thead', {}, h('tr', {}, head.map((t) => h('th', { scope: 'col' }, t || h('span', { class: 'hidden' }, 'Action'))))), h('tbody', {}, rows)))
      : h('p', { class: 'hint' }, empty));
}
