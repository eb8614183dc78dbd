// What the page asks the server, and who is signed in.

import { h, dialog, say } from './dom.js';

export const session = { configured: false, allowed: false };

async function ask(path, options) {
  const answer = await fetch(path, { credentials: 'same-origin', ...options });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  let text = `${answer.status} ${answer.statusText}`;
  try { text = (await answer.json()).error ?? text; } catch { /* it was no JSON */ }
  throw Object.assign(new Error(text), { status: answer.status });
}

let pressed = null;

/** While a button of the mouse is down what lies under it must stay, or the release hits another element and the click is lost. */
function holdWhilePressed() {
  let release = null;
  addEventListener('pointerdown', (event) => {
    if (event.button === 0) pressed ??= new Promise((resolve) => { release = resolve; });
  }, true);
  const up = () => setTimeout(() => { release?.(); pressed = null; }); // after the click, which follows in the same task
  for (const event of ['pointerup', 'pointercancel', 'dragend']) addEventListener(event, up, true);
}
holdWhilePressed();

/** Reads; the answer, which is drawn, waits for who is just clicking. */
export async function get(path, params, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) if (value !== undefined && value !== '' && value !== 0) query.set(name, value);
  const answer = await ask(query.size ? `${path}?${query}` : path, { signal });
  await pressed;
  return answer;
}

export function post(path, body) {
  return ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body ?? {}) });
}

export async function refreshSession() {
  Object.assign(session, await get('/api/session'));
  const sign = document.getElementById('sign');
  sign.hidden = !session.configured;
  sign.textContent = session.allowed ? 'Sign out' : 'Sign in';
  const banner = document.getElementById('banner');
  banner.hidden = session.allowed;
  banner.textContent = session.configured
    ? 'You are looking only: personal data is masked. Sign in to act.'
    : 'Read-only, and personal data is masked: set PARLEY_HTTP_TOKEN to sign in and act.';
}

/** Asks for the token; true once it was accepted. */
export function signIn() {
  return new Promise((resolve) => {
    const field = h('input', { type: 'password', id: 'token', name: 'token', autocomplete: 'current-password', required: true, spellcheck: 'false' });
    const wrong = h('p', { class: 'error', role: 'alert' });
    const form = h('form', {
      submit: async (event) => {
        event.preventDefault();
        try {
          await post('/api/session', { token: field.value });
          await refreshSession();
          box.close();
        } catch (error) {
          wrong.textContent = error.message;
          field.select();
        }
      },
    }, h('label', { for: 'token' }, 'Token'), field, h('p', { class: 'hint' }, 'It is in PARLEY_HTTP_TOKEN of the process that serves this page.'), wrong,
    h('div', { class: 'row end' }, h('button', { type: 'submit', class: 'primary' }, 'Sign in')));
    const box = dialog('Sign in', form);
    field.focus();
    box.addEventListener('close', () => {
      if (session.allowed) window.dispatchEvent(new Event('session'));
      resolve(session.allowed);
    });
  });
}

export async function signOut() {
  await ask('/api/session', { method: 'DELETE' });
  await refreshSession();
  window.dispatchEvent(new Event('session'));
}

/** A button that acts: it asks who is not signed in to do that first, and says what came of it. */
export function action(label, props, act) {
  const button = h('button', {
    type: 'button', ...props, disabled: props?.disabled || !session.configured,
    title: session.configured ? props?.title : 'Read-only: PARLEY_HTTP_TOKEN is not set',
    click: async () => {
      if (!session.allowed && !(await signIn())) return;
      button.disabled = true;
      try {
        const said = await act();
        if (said) say(said);
      } catch (error) {
        if (error.status === 401) await refreshSession();
        say(error.message, true);
      } finally {
        button.disabled = false;
      }
    },
  }, label);
  return button;
}
