/** Colours of a terminal, or none: by the rules of https://no-color.org. */
export interface Style {
  /** A text in a colour that fits the level of its record: 0 (emergency) to 7 (debug). */
  level(text: string, level: number): string;
  dim(text: string): string;
  bold(text: string): string;
  alarm(text: string): string;
}

const codes = ["1;31", "1;31", "1;31", "31", "33", "36", "", "2"] as const;

const plain = (text: string) => text;
const none: Style = { level: plain, dim: plain, bold: plain, alarm: plain };

const ansi = (code: string) => (text: string) =>
  code === "" || text === "" ? text : `\x1b[${code}m${text}\x1b[0m`;
const coloured: Style = {
  level: (text, level) => ansi(codes[level] ?? "")(text),
  dim: ansi("2"),
  bold: ansi("1"),
  alarm: ansi("1;35"),
};

export function styleOf(isTerminal: boolean, env: Record<string, string | undefined>): Style {
  return isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb" ? coloured : none;
}
