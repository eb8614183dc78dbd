import { h, show, when, span, many } from './dom.js';
import { get } from './api.js';
import { glimpse, chatHref } from './glimpse.js';

const chosen = { source: '' };

/** The conversations that changed last. */
export async function chats({ place, signal, failed }) {
  const { status } = await get('/api/overview', {}, signal);
  const sources = new Map(status.sources.map((l) => [l.source, l.vendor]));
  let rows = [];
  const seen = new Set();
  const list = h('section', { class: 'panel', 'aria-label': 'Conversations, the latest first' });
  const load = async (before) => {
    if (!before) { rows = []; seen.clear(); }
    const { conversations, next } = await get('/api/conversations', { source: chosen.source, vendor: sources.get(chosen.source), before }, signal);
    for (const { event } of conversations) {
      const key = `${event.source} ${event.subject}`;
      if (!seen.has(key)) { seen.add(key); rows.push(event); }
    }
    show(list, rows.length ? h('ul', { class: 'chats' }, rows.map(line)) : h('p', { class: 'hint' }, 'No conversation is stored here yet.'),
      next > 0 && h('button', { type: 'button', 'data-key': 'older', click: () => load(next).catch(failed) }, 'Older ones'));
  };
  const select = h('select', { change: () => { chosen.source = select.value; load().catch(failed); } }, h('option', { value: '' }, 'every source'), [...sources.keys()].map((name) => h('option', { value: name }, name)));
  select.value = chosen.source;
  const id = h('input', { type: 'search', name: 'id', maxlength: 300, required: true });
  const of = h('select', {}, [...sources.keys()].map((name) => h('option', { value: name }, name)));
  show(place, h('div', { class: 'panel filters' }, h('label', {}, 'Source', select),
    h('form', { class: 'filters grow', role: 'search', submit: (event) => {
      event.preventDefault();
      location.hash = `#/chats/${[sources.get(of.value), of.value, id.value.trim()].map(encodeURIComponent).join('/')}`;
    } }, h('label', {}, 'Find the chat of', of), h('label', {}, 'with the id', id), h('button', { type: 'submit' }, 'Find'))), list);
  await load();
}

function line(e) {
  const d = e.data ?? {};
  return h('li', {}, h('a', { href: chatHref(e) }, h('strong', {}, d.visitor?.name || e.subject || 'no id'), h('span', { class: 'sub' }, `${e.source.slice(1)} · ${e.subject ?? ''}`),
    h('span', { class: 'glimpse' }, glimpse(d)), h('span', { class: 'sub' }, when(e.time), e.revision > 1 && ` · revision ${e.revision}`)));
}

/** One conversation as a transcript, with its revisions. */
export async function chat({ place, heading, params, signal }) {
  const [vendor, source, id] = params;
  const { revisions } = await get('/api/conversation', { vendor, source, id }, signal);
  const all = revisions.map((r) => r.event);
  const draw = (i) => {
    const e = all[i];
    const d = e.data ?? {};
    heading.textContent = d.subject || (d.visitor?.name ? `Chat with ${d.visitor.name}` : `Chat ${id}`);
    show(place, h('p', {}, h('a', { href: '#/chats' }, '← All chats')),
      h('div', { class: 'revisions', role: 'group', 'aria-label': 'Revisions' }, all.map((r, n) => h('button', { type: 'button', 'aria-pressed': String(n === i), 'data-key': `r${r.revision}`, click: () => draw(n) }, `r${r.revision}`, h('span', { class: 'sub' }, new Date(revisions[n].stored).toLocaleString('en-GB', { dateStyle: 'short', timeStyle: 'short' }))))),
      i > 0 && changes(all[i - 1].data ?? {}, d, all[i - 1].revision),
      h('div', { class: 'conversation' }, transcript(d, i > 0 ? all[i - 1].data : null), facts(e, d)));
  };
  draw(all.length - 1);
}

const said = (m) => `${m.id ?? ''} ${m.at ?? ''} ${m.text ?? ''}`;

function transcript(d, before) {
  const messages = Array.isArray(d.messages) ? d.messages : [];
  const old = before && new Set((before.messages ?? []).map(said));
  if (messages.length === 0) return h('section', { class: 'panel transcript', 'aria-label': 'Transcript' }, h('p', { class: 'hint' }, d.message_count ? `The vendor counts ${many(d.message_count, 'message')} and does not give them.` : 'There are no messages.'));
  return h('section', { class: 'panel transcript', 'aria-label': 'Transcript' }, h('ol', {}, messages.map((m) => {
    const who = ['visitor', 'agent', 'supervisor', 'system'].includes(m.author?.type) ? m.author.type : 'system';
    return h('li', { class: `message ${who}` }, h('div', { class: 'bubble' }, h('p', { class: 'who' }, h('strong', {}, m.author?.name || who), m.at && h('time', { datetime: m.at, title: m.at }, new Date(m.at).toLocaleTimeString('en-GB', { timeStyle: 'short' })), old && !old.has(said(m)) && h('span', { class: 'chip warn' }, 'new here')),
      h('p', { class: 'text' }, m.text ?? ''), m.type && m.type !== 'message' && h('p', { class: 'sub' }, m.type)));
  })));
}

function facts(e, d) {
  const list = (items) => (Array.isArray(items) && items.length ? items.map((x) => (typeof x === 'object' ? x?.name ?? x?.id ?? '' : x)).filter(Boolean).join(', ') : '');
  const pairs = [['Status', [d.channel, d.status].filter(Boolean).join(', ')], ['Visitor', [d.visitor?.name, d.visitor?.email].filter(Boolean).join(' · ')], ['From', [d.visitor?.city, d.visitor?.country].filter(Boolean).join(', ')],
    ['Agents', list(d.agents)], ['Department', d.department?.name], ['Began', d.started_at || d.created_at ? when(d.started_at || d.created_at) : ''], ['Ended', d.ended_at ? when(d.ended_at) : ''],
    ['Took', d.duration_s ? span(d.duration_s) : ''], ['Rating', [d.rating?.value, d.rating?.comment].filter(Boolean).join(': ')], ['Tags', list(d.tags)], ['Page', d.page?.url],
    ['Source', e.source.slice(1)], ['Id', e.subject], ['Revision', String(e.revision)]];
  return h('aside', { class: 'panel', 'aria-label': 'About it' }, h('dl', { class: 'facts' }, pairs.filter(([, v]) => v).map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])),
    h('details', { 'data-key': 'whole' }, h('summary', {}, 'The whole event'), h('pre', { tabindex: 0 }, JSON.stringify(e, null, 2))));
}

/** What one revision has that the one before it had not. */
function changes(before, now, revision) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((k) => k !== 'messages' && JSON.stringify(before[k]) !== JSON.stringify(now[k]));
  const was = before.messages?.length ?? 0;
  const is = now.messages?.length ?? 0;
  const text = (v) => (v === undefined ? 'not there' : typeof v === 'string' ? v : JSON.stringify(v));
  if (names.length === 0 && JSON.stringify(before.messages) === JSON.stringify(now.messages)) return h('section', { class: 'panel changes', 'aria-label': 'Changes' }, h('p', { class: 'hint' }, `Nothing that is shown differs from r${revision}.`));
  return h('section', { class: 'panel changes', 'aria-labelledby': 'changes' }, h('h2', { id: 'changes' }, `Changed since r${revision}`),
    h('dl', { class: 'facts' }, names.map((k) => [h('dt', {}, k), h('dd', {}, h('del', {}, text(before[k])), ' → ', h('ins', {}, text(now[k])))]),
      (was !== is || JSON.stringify(before.messages) !== JSON.stringify(now.messages)) && [h('dt', {}, 'messages'), h('dd', {}, was === is ? 'edited' : `${was} → ${is}`)]));
}
