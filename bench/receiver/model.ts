/** Runs at different loads in; what each chunk, acknowledgement and byte costs out. */

export interface Load {
  /** Each a second. */
  chunks: number;
  acks: number;
  gigabytes: number;
  /** Of one core, seconds a second. */
  cpu: number;
}

export interface Model {
  /** CPU of a receiver with open streams that say nothing, of one core. */
  idle: number;
  chunkUs: number;
  ackUs: number;
  /** Beside its chunks and acknowledgements. */
  gigabyteSec: number;
  /** The largest difference to a run, as a share of that run's CPU. */
  worstError: number;
}

/** Least squares, each run weighed by its CPU, so that errors are shares. Needs four runs or more. */
export function fitModel(loads: Load[]): Model {
  const rows = loads.map((l) => [1, l.chunks, l.acks, l.gigabytes].map((x) => x / l.cpu));
  const [idle, chunk, ack, gigabyte] = leastSquares(rows, loads.map(() => 1)) as [
    number,
    number,
    number,
    number,
  ];
  const model = { idle, chunkUs: chunk * 1e6, ackUs: ack * 1e6, gigabyteSec: gigabyte };
  const errors = loads.map((load) => Math.abs(predict(model, load) / load.cpu - 1));
  return { ...model, worstError: Math.max(...errors) };
}

export function predict(
  { idle, chunkUs, ackUs, gigabyteSec }: Omit<Model, "worstError">,
  { chunks, acks, gigabytes }: Omit<Load, "cpu">,
): number {
  return idle + (chunks * chunkUs + acks * ackUs) / 1e6 + gigabytes * gigabyteSec;
}

/** Costs aren't negative: an unknown that comes out so is taken for nothing, and the rest anew. */
export function leastSquares(rows: number[][], wanted: number[]): number[] {
  const unknowns = rows[0]!.length;
  const used = new Set(Array.from({ length: unknowns }, (_, i) => i));
  for (;;) {
    const columns = [...used];
    const found = solve(
      columns.map((i) => columns.map((j) => sum(rows.map((row) => row[i]! * row[j]!)))),
      columns.map((i) => sum(rows.map((row, k) => row[i]! * wanted[k]!))),
    );
    const lowest = Math.min(...found);
    const result = new Array<number>(unknowns).fill(0);
    columns.forEach((column, k) => result[column] = found[k]!);
    if (lowest >= 0 || columns.length === 1) return result.map((x) => Math.max(0, x));
    used.delete(columns[found.indexOf(lowest)]!);
  }
}

/** Gauss, with the largest pivot of each column. */
function solve(matrix: number[][], right: number[]): number[] {
  const n = right.length;
  const m = matrix.map((row, i) => [...row, right[i]!]);
  for (let column = 0; column < n; column++) {
    const order = m.slice(column).toSorted((a, b) => Math.abs(b[column]!) - Math.abs(a[column]!));
    m.splice(column, n, ...order);
    for (const row of m.slice(column + 1)) {
      const factor = row[column]! / m[column]![column]!;
      for (let k = column; k <= n; k++) row[k]! -= factor * m[column]![k]!;
    }
  }
  const found = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = sum(found.map((x, k) => k > i ? x * m[i]![k]! : 0));
    found[i] = (m[i]![n]! - known) / m[i]![i]!;
  }
  return found;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
