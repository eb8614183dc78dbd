import { svg } from './dom.js';

const width = 112;
const height = 28;

/** A line over the last hour; gaps where nothing is known. Its label says in words what it shows. */
export function spark(values, label, { tone = 'accent' } = {}) {
  const known = values.filter((v) => v !== null && v !== undefined);
  const picture = svg('svg', { class: `spark ${tone}`, viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': known.length ? label : `${label}: nothing known yet`, preserveAspectRatio: 'none' });
  if (known.length < 2) {
    picture.append(svg('line', { x1: 0, y1: height - 2, x2: width, y2: height - 2, class: 'base' }));
    return picture;
  }
  const top = Math.max(...known, 1e-9);
  const step = width / Math.max(values.length - 1, 1);
  const y = (v) => (height - 2 - (v / top) * (height - 5)).toFixed(1);
  let line = '';
  let area = '';
  let run = [];
  const end = () => {
    if (run.length > 1) {
      line += `M${run.map(([px, py]) => `${px},${py}`).join('L')}`;
      area += `M${run[0][0]},${height}L${run.map(([px, py]) => `${px},${py}`).join('L')}L${run.at(-1)[0]},${height}Z`;
    }
    run = [];
  };
  values.forEach((v, i) => (v === null || v === undefined ? end() : run.push([(i * step).toFixed(1), y(v)])));
  end();
  picture.append(svg('path', { d: area, class: 'area' }), svg('path', { d: line, class: 'line', 'vector-effect': 'non-scaling-stroke' }));
  return picture;
}

export const last = (values) => [...(values ?? [])].reverse().find((v) => v !== null && v !== undefined);
export const highest = (values) => Math.max(0, ...(values ?? []).filter((v) => v !== null && v !== undefined));
