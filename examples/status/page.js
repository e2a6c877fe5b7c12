// Asks for the state once a second, and shows it. Of the list only those rows are in the document
// that can be seen, and they are filled anew instead of made anew: a thousand connections cost what
// twenty do.
'use strict';

const byId = (id) => document.getElementById(id);
const list = byId('list');
const rows = byId('rows');
const [above, below] = document.querySelectorAll('.space td');
const INTERVAL = 1000, SAMPLES = 120, BEYOND = 8;

let state = null;
let before = null;
const samples = { active: [], bytes: [] };

const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

const amount = (bytes) => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
};

const time = (ms) => {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
};

// Only what has changed: the browser then lays out nothing else.
const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

const newRow = () => {
  const row = document.createElement('tr');
  for (const kind of ['id', '', 'number age', 'number bytes', 'number bytes', 'idle', '']) {
    row.insertCell().className = kind;
  }
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Cut';
  button.addEventListener('click', () => act('/cut', `id=${row.dataset.id}`));
  row.cells[6].append(button);
  return rows.appendChild(row);
};

const fill = (row, [id, peer, age, received, sent, idle]) => {
  if (row.dataset.id !== String(id)) {
    row.dataset.id = id;
    row.cells[6].firstChild.setAttribute('aria-label', `Cut ${peer}`);
    row.cells[1].title = peer;
  }
  [id, peer, time(age), amount(received), amount(sent), idle ? 'idle' : 'busy']
    .forEach((value, at) => put(row.cells[at], String(value)));
};

const showRows = () => {
  const all = state.rows;
  const height = rows.rows[0]?.offsetHeight || 36;
  const first = Math.max(0, Math.min(all.length - 1, Math.floor(list.scrollTop / height)) - BEYOND);
  const count = Math.min(all.length - first, Math.ceil(list.clientHeight / height) + 2 * BEYOND);
  while (rows.rows.length < count) newRow();
  while (rows.rows.length > count) rows.lastChild.remove();
  for (let at = 0; at < count; at += 1) fill(rows.rows[at], all[first + at]);
  above.style.height = `${first * height}px`;
  below.style.height = `${(all.length - first - count) * height}px`;
};

const chart = (name, values, say) => {
  const svg = byId(`${name}-chart`);
  const most = Math.max(...values, 1);
  const x = (at) => 600 - (values.length - 1 - at) * 600 / (SAMPLES - 1);
  const y = (value) => 158 - value / most * 150;
  const line = values.map((value, at) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('L');
  svg.querySelector('.line').setAttribute('d', `M${line}`);
  svg.querySelector('.area').setAttribute('d', `M${x(0).toFixed(1)} 159L${line}L600 159Z`);
  put(svg.nextElementSibling.querySelector('.most'), `most ${say(most)}`);
  put(byId(`${name}-now`), say(values[values.length - 1]));
};

// What has gone over the connections that were there both times.
const bytesSince = (old) => {
  const known = new Map(old.rows.map((row) => [row[0], row[3] + row[4]]));
  return state.rows.reduce((sum, row) => sum + row[3] + row[4] - (known.get(row[0]) ?? 0), 0);
};

const sample = () => {
  const now = performance.now();
  const rate = before ? bytesSince(before.state) * 1000 / Math.max(1, now - before.now) : 0;
  before = { state, now };
  samples.active.push(state.active);
  samples.bytes.push(rate);
  for (const values of Object.values(samples)) if (values.length > SAMPLES) values.shift();
  chart('active', samples.active, (value) => number.format(value));
  chart('bytes', samples.bytes, (value) => `${amount(value)}/s`);
};

const show = () => {
  for (const element of document.querySelectorAll('[data-count]')) {
    const value = state[element.dataset.count];
    put(element, value < 1e5 ? number.format(value) : compact.format(value));
    element.title = number.format(value);
  }
  const reasons = state.reasons.map(([why, count]) => `${why}: ${number.format(count)}`).join(' · ');
  put(byId('reasons'), reasons);
  byId('reasons').hidden = reasons === '';
  const pill = byId('state');
  pill.className = state.suspended ? 'suspended' : 'serving';
  put(pill, pill.className);
  byId('suspend').disabled = false;
  put(byId('suspend'), state.suspended ? 'Resume' : 'Suspend');
  for (const input of byId('pool').querySelectorAll('input')) {
    if (document.activeElement !== input) input.value = state[input.name];
  }
  const shown = state.rows.length < state.total ? `, the oldest ${number.format(state.rows.length)} shown` : '';
  put(byId('total'), `${number.format(state.total)}${shown}`);
  byId('empty').hidden = state.total > 0;
  showRows();
};

const ask = async (path, options) => {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await answer.text());
  state = await answer.json();
  show();
};

const act = async (path, body = '') => {
  const trouble = byId('trouble');
  try {
    await ask(path, { method: 'POST', body });
    trouble.hidden = true;
  } catch (error) {
    put(trouble, String(error.message));
    trouble.hidden = false;
  }
};

const poll = async () => {
  try {
    await ask('/state');
    sample();
  } catch {
    byId('state').className = 'lost';
    put(byId('state'), 'no answer');
    byId('suspend').disabled = true;
  }
  setTimeout(poll, INTERVAL);
};

byId('suspend').addEventListener('click', () => act(state.suspended ? '/resume' : '/suspend'));
for (const form of document.forms) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    document.activeElement.blur();
    act(`/${form.id}`, new URLSearchParams(new FormData(form)).toString());
  });
}
list.addEventListener('scroll', () => { if (state) showRows(); }, { passive: true });
addEventListener('resize', () => { if (state) showRows(); });
poll();
