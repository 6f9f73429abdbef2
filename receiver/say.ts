/**
 * One line on stderr for each change of state, in logfmt:
 *
 *     receiver: time=2026-11-22T20:21:34.123Z event=storage_down msg="..." KEY=VALUE...
 */
export type Say = (event: string, msg: string, fields?: Record<string, string | number>) => void;

export const say: Say = (event, msg, fields = {}) => {
  const pairs = Object.entries({ time: new Date().toISOString(), event, msg, ...fields })
    .map(([key, value]) => `${key}=${quoted(value)}`);
  console.error(`receiver: ${pairs.join(" ")}`);
};

function quoted(value: string | number): string {
  const text = String(value);
  return /^[^\s"=\\]+$/.test(text) ? text : JSON.stringify(text);
}
