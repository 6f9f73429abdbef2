/** Series of numbers to an SVG: small charts beside each other that share one legend. */

export interface Series {
  name: string;
  /** CSS colour; lines of one colour are told apart by dashes. */
  color: string;
  dashed: boolean;
  /** In the order of the categories; undefined where nothing was measured. */
  values: ReadonlyArray<number | undefined>;
}

export interface Chart {
  title: string;
  /** Of the y axis. */
  unit: string;
  series: readonly Series[];
}

export interface Plot {
  title: string;
  subtitle: string;
  /** Of the x axis, evenly spaced. */
  categories: readonly string[];
  categoryTitle: string;
  charts: readonly Chart[];
}

const chartWidth = 400;
const chartHeight = 270;
const left = 64;
const right = 16;
const top = 44;
const bottom = 52;
const headHeight = 66;
const legendRow = 20;
const legendColumn = 200;
const ink = "#222222";
const quiet = "#666666";
const grid = "#e3e3e3";

/** Two charts in a row. */
export function toSvg({ title, subtitle, categories, categoryTitle, charts }: Plot): string {
  const { series } = charts[0]!;
  const columns = Math.min(2, charts.length);
  const width = columns * chartWidth;
  const perRow = Math.floor(width / legendColumn);
  const legendHeight = Math.ceil(series.length / perRow) * legendRow + 12;
  const height = headHeight + legendHeight + Math.ceil(charts.length / 2) * chartHeight;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
    `height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 28, title, { size: 17, weight: "bold" }),
    text(16, 48, subtitle, { color: quiet }),
    ...series.map((one, i) =>
      legend(one, 16 + i % perRow * legendColumn, headHeight + Math.floor(i / perRow) * legendRow)
    ),
  ];
  for (const [i, chart] of charts.entries()) {
    const x = i % 2 * chartWidth;
    const y = headHeight + legendHeight + Math.floor(i / 2) * chartHeight;
    parts.push(`<g transform="translate(${x} ${y})">`, ...draw(chart, categories, categoryTitle));
    parts.push("</g>");
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

function draw(chart: Chart, categories: readonly string[], categoryTitle: string): string[] {
  const { title, unit, series } = chart;
  const ticks = ticksTo(Math.max(...series.flatMap(({ values }) => values.map((v) => v ?? 0))));
  const yOf = (value: number) =>
    chartHeight - bottom - value / ticks.at(-1)! * (chartHeight - top - bottom);
  const step = (chartWidth - left - right) / categories.length;
  const xOf = (i: number) => left + (i + 0.5) * step;
  return [
    text(left, 20, title, { weight: "bold" }),
    text(left, 36, unit, { color: quiet, size: 11 }),
    ...ticks.flatMap((tick) => [
      line([left, yOf(tick)], [chartWidth - right, yOf(tick)], tick === 0 ? quiet : grid),
      text(left - 8, yOf(tick) + 4, format(tick), { anchor: "end", color: quiet, size: 11 }),
    ]),
    ...categories.map((name, i) =>
      text(xOf(i), chartHeight - bottom + 18, name, { anchor: "middle", size: 11 })
    ),
    text((left + chartWidth - right) / 2, chartHeight - bottom + 36, categoryTitle, {
      anchor: "middle",
      color: quiet,
      size: 11,
    }),
    ...series.map((one) => path(one, xOf, yOf)),
  ];
}

function path(
  { name, color, dashed, values }: Series,
  xOf: (i: number) => number,
  yOf: (value: number) => number,
): string {
  const points = values.flatMap((value, i) => value === undefined ? [] : [[xOf(i), yOf(value)]]);
  const places = points.map(([x, y]) => `${fixed(x!)},${fixed(y!)}`).join(" ");
  const dots = points.map(([x, y]) =>
    `<circle cx="${fixed(x!)}" cy="${fixed(y!)}" r="3.5" fill="${dashed ? "#ffffff" : color}" ` +
    `stroke="${color}" stroke-width="1.5"/>`
  );
  return `<g><title>${escaped(name)}</title><polyline points="${places}" fill="none" ` +
    `stroke="${color}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ""}/>` +
    `${dots.join("")}</g>`;
}

function legend({ name, color, dashed }: Series, x: number, y: number): string {
  return line([x, y + 8], [x + 28, y + 8], color, dashed, 2) +
    `<circle cx="${x + 14}" cy="${y + 8}" r="3.5" fill="${dashed ? "#ffffff" : color}" ` +
    `stroke="${color}" stroke-width="1.5"/>` + text(x + 36, y + 12, name);
}

function line(
  [x1, y1]: [number, number],
  [x2, y2]: [number, number],
  color: string,
  dashed = false,
  width = 1,
): string {
  return `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" ` +
    `stroke="${color}" stroke-width="${width}"${dashed ? ' stroke-dasharray="5 4"' : ""}/>`;
}

interface TextStyle {
  size?: number;
  weight?: string;
  color?: string;
  anchor?: "start" | "middle" | "end";
}

function text(x: number, y: number, words: string, style: TextStyle = {}): string {
  const { size = 12, weight = "normal", color = ink, anchor = "start" } = style;
  return `<text x="${fixed(x)}" y="${fixed(y)}" font-size="${size}" font-weight="${weight}" ` +
    `fill="${color}" text-anchor="${anchor}">${escaped(words)}</text>`;
}

/** From 0 past the largest value, in four to six round steps. */
export function ticksTo(most: number): number[] {
  if (most <= 0) return [0, 1];
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

function format(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString("en-US");
}

function fixed(value: number): string {
  return String(Number(value.toFixed(1)));
}

function escaped(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
