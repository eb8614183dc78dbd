import { h, many } from './dom.js';

/** What of an entity is worth a place in a line. */
export function glimpse(data) {
  if (!data || typeof data !== 'object') return data === undefined ? 'content is not shown' : '';
  const people = [data.visitor, data.requester, data.agent, ...(Array.isArray(data.agents) ? data.agents : [])]
    .map((p) => (typeof p === 'string' ? p : p?.name || p?.email)).filter(Boolean);
  const facts = [data.channel, data.status, data.report, data.state, data.value, data.name, data.rating?.value && `rated ${data.rating.value}`,
    Array.isArray(data.messages) && data.messages.length && many(data.messages.length, 'message'), people.length && people.slice(0, 3).join(', ')];
  return facts.filter(Boolean).map(String).join(' · ');
}

export function chatHref(e) {
  const [vendor, source] = e.source.slice(1).split('/');
  return `#/chats/${[vendor, source, e.subject ?? ''].map(encodeURIComponent).join('/')}`;
}

export function chatLink(e) {
  return e.type.startsWith('dev.parley.conversation.') && e.subject ? h('p', {}, h('a', { href: chatHref(e) }, 'Show the chat')) : null;
}
