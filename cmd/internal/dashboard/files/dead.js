import { h, show, confirm, when, count, many, prose } from './dom.js';
import { get, post, action, session } from './api.js';

const filters = { stage: '', name: '', vendor: '', reason: '' };

/** Dead letters, the newest first. */
export async function deadLetters({ place, signal, failed }) {
  const chosen = new Set();
  let rows = [];
  const list = h('div', {});
  const pick = (label, act, danger) => action(label, { class: danger ? 'danger' : '', 'aria-label': `${label} what is chosen` }, async () => {
    if (chosen.size === 0) return 'Choose some first.';
    if (danger && !(await confirm(`Drop ${many(chosen.size, 'dead letter')}?`, 'They are gone for good, with their bytes.', 'Drop'))) return null;
    const said = await handle(act, [...chosen]);
    chosen.clear();
    await load();
    return said;
  });
  const bar = h('div', { class: 'row' }, pick('Replay', 'replay'), pick('Drop', 'drop', true), h('span', { class: 'sub', role: 'status', id: 'chosen' }, 'none chosen'));
  const tell = () => { bar.lastChild.textContent = chosen.size ? `${count(chosen.size)} chosen` : 'none chosen'; };

  const load = async (before) => {
    const { dead, next } = await get('/api/dead', { ...filters, before }, signal);
    rows = before ? [...rows, ...dead] : dead;
    draw(next);
  };
  const draw = (next) => {
    tell();
    const boxes = rows.map((d) => h('input', { type: 'checkbox', checked: chosen.has(d.sequence), 'aria-label': `Choose ${d.sequence}`, change: (event) => {
      if (event.target.checked) chosen.add(d.sequence); else chosen.delete(d.sequence);
      tell();
    } }));
    const all = h('input', { type: 'checkbox', 'aria-label': 'Choose all that are shown', change: (event) => boxes.forEach((b) => { if (b.checked !== event.target.checked) b.click(); }) });
    show(list, rows.length === 0 ? h('p', { class: 'hint' }, 'There is no such dead letter.') : h('div', { class: 'scroll' }, h('table', { class: 'cards' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, all), ['Number', 'Since', 'Stage', 'Vendor', 'Id', 'Reason'].map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, rows.map((d, i) => h('tr', {}, h('td', { 'data-label': 'Choose' }, boxes[i]), h('th', { scope: 'row' }, h('a', { href: `#/dead/${d.sequence}` }, d.sequence)),
        h('td', { 'data-label': 'Since' }, when(d.at)), h('td', { 'data-label': 'Stage' }, `${d.stage} ${d.name}`), h('td', { 'data-label': 'Vendor' }, d.vendor ?? '–'),
        h('td', { 'data-label': 'Id', class: 'id' }, d.subject ?? '–'), h('td', { 'data-label': 'Reason', class: 'reason' }, d.reason)))))),
    next > 0 && h('button', { type: 'button', click: () => load(next).catch(failed) }, rows.length ? 'Older ones' : 'Look further back'));
  };
  show(place, form(() => load().catch(failed)), h('section', { class: 'panel', 'aria-label': 'Dead letters' }, bar, list));
  await load();
}

function form(changed) {
  const field = (name, label, input) => h('label', {}, label, input);
  const text = (name) => h('input', { type: 'search', value: filters[name], maxlength: 200, name });
  const stage = h('select', { name: 'stage' }, ['', 'poll', 'process', 'sink'].map((s) => h('option', { value: s }, s || 'every stage')));
  stage.value = filters.stage;
  return h('form', { class: 'panel filters', role: 'search', 'aria-label': 'Filter dead letters', submit: (event) => {
    event.preventDefault();
    for (const [name, value] of new FormData(event.target)) filters[name] = value.trim();
    changed();
  } }, field('stage', 'Stage', stage), field('name', 'Source or sink', text('name')), field('vendor', 'Vendor', text('vendor')),
  session.allowed && field('reason', 'Reason has', text('reason')), h('button', { type: 'submit', class: 'primary' }, 'Filter'));
}

async function handle(act, sequences) {
  const { done, failed } = await post(`/api/dead/${act}`, { sequences });
  const wrong = Object.entries(failed);
  const word = act === 'replay' ? 'replayed' : 'dropped';
  if (wrong.length) throw new Error(`${many(done.length, 'dead letter')} ${word}; ${wrong[0][0]}: ${wrong[0][1]}${wrong.length > 1 ? `, and ${wrong.length - 1} more` : ''}`);
  return `${many(done.length, 'dead letter')} ${word}.`;
}

/** One dead letter, whole. */
export async function deadLetter({ place, heading, params, signal }) {
  const d = await get(`/api/dead/${params[0]}`, {}, signal);
  heading.textContent = `Dead letter ${d.sequence}`;
  const back = () => { location.hash = '#/dead'; };
  const facts = [['Stage', `${d.stage} ${d.name}`], ['Since', when(d.at)], ['Vendor', d.vendor], ['Stream', d.stream], ['Id', d.subject], ['Was stored at', d.stored], ['Attempts', d.attempts || null], ['Size', many(d.size, 'byte')]];
  show(place, h('p', {}, h('a', { href: '#/dead' }, '← All dead letters')),
    h('section', { class: 'panel', 'aria-label': 'Why' }, h('pre', { class: 'reason' }, d.reason), h('p', { class: 'advice' }, prose(d.advice)),
      h('div', { class: 'row' },
        action('Replay', { disabled: !d.replayable, class: 'primary', title: d.replayable ? undefined : 'It was cut, or cannot travel: the vendor must be asked again' }, async () => { const said = await handle('replay', [d.sequence]); back(); return said; }),
        action('Drop', { class: 'danger' }, async () => {
          if (!(await confirm(`Drop dead letter ${d.sequence}?`, 'It is gone for good, with its bytes.', 'Drop'))) return null;
          const said = await handle('drop', [d.sequence]);
          back();
          return said;
        }))),
    h('section', { class: 'panel', 'aria-label': 'Facts' }, h('dl', { class: 'facts' }, facts.filter(([, v]) => v !== undefined && v !== null && v !== '').map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]))),
    h('section', { class: 'panel', 'aria-labelledby': 'content' }, h('h2', { id: 'content' }, 'What failed'), content(d.content)));
}

function content(c) {
  if (c?.hidden !== undefined) return h('p', { class: 'hint' }, `${many(c.hidden, 'byte')} of the vendor's, which may hold personal data: sign in to see them.`);
  if (!Array.isArray(c?.parts)) return part(c?.text !== undefined ? c : { text: JSON.stringify(c, null, 2) });
  const { parts, ...rest } = c;
  return [h('pre', {}, JSON.stringify(rest, null, 2)), parts.map(part)];
}

function part(p) {
  const name = [p.name, p.content_type, p.url, p.whole_size ? `the first of ${many(p.whole_size, 'byte')}` : ''].filter(Boolean).join(' · ');
  let text = p.text ?? `${p.bytes} (base64)`;
  try { if (/json/.test(p.content_type)) text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is shown as it is */ }
  return h('figure', {}, name && h('figcaption', { class: 'sub' }, name), h('pre', { tabindex: 0 }, text));
}
