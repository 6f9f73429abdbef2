/**
 * `bun:test` for Deno: the same test files run in both runtimes (deno.json maps the name to this
 * file). Only what they use; a matcher that isn't here throws.
 */
import { AssertionError } from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";

type Body = () => unknown;
type Row = unknown;

interface DenoTest {
  name: string;
  ignore?: boolean;
  only?: boolean;
  /** What a test leaves open on purpose (a watcher of a folder, a killed child) isn't an error. */
  sanitizeOps: false;
  sanitizeResources: false;
  sanitizeExit: false;
  fn: () => Promise<void>;
}

// So that type-checking needs no types of Deno's.
const deno = (globalThis as unknown as {
  Deno: { test(test: DenoTest): void };
}).Deno;

interface Scope {
  name: string;
  parent?: Scope;
  before: Body[];
  after: Body[];
  beforeAll: Body[];
  afterAll: Body[];
  /** Tests in it and below that haven't ended; `afterAll` runs behind the last. */
  left: number;
  begun: boolean;
}

let scope: Scope = newScope("");

function newScope(name: string, parent?: Scope): Scope {
  const lists = { before: [], after: [], beforeAll: [], afterAll: [] };
  return { name, ...(parent ? { parent } : {}), ...lists, left: 0, begun: false };
}

/** From the outermost in. */
function scopes(inner: Scope): Scope[] {
  return inner.parent ? [...scopes(inner.parent), inner] : [inner];
}

function addTest(name: string, fn: Body, options: { ignore?: boolean; only?: boolean } = {}): void {
  const chain = scopes(scope);
  if (!options.ignore) { for (const s of chain) s.left++; }
  deno.test({
    name: [...chain.map((s) => s.name), name].filter((part) => part !== "").join(" > "),
    ...options,
    sanitizeOps: false,
    sanitizeResources: false,
    sanitizeExit: false,
    fn: () => runTest(chain, fn),
  });
}

async function runTest(chain: Scope[], fn: Body): Promise<void> {
  try {
    for (const s of chain) {
      if (!s.begun) { for (const hook of s.beforeAll) await hook(); }
      s.begun = true;
    }
    for (const s of chain) for (const hook of s.before) await hook();
    await fn();
  } finally {
    const outwards = chain.toReversed();
    for (const s of outwards) for (const hook of s.after) await hook();
    for (const s of outwards) {
      if (--s.left === 0) { for (const hook of s.afterAll) await hook(); }
    }
  }
}

/** `%s` and the like, one for each value; an object's row is its only value. */
function rowName(name: string, values: Row[]): string {
  let next = 0;
  return name.replace(/%[sdifjop%]/g, (mark) => {
    if (mark === "%%") return "%";
    const value = values[next++];
    return typeof value === "string" ? value : inspect(value);
  });
}

function each(add: (name: string, fn: Body) => void) {
  return (rows: Row[]) => (name: string, fn: (...values: never[]) => unknown) => {
    for (const row of rows) {
      const values = Array.isArray(row) ? row : [row];
      add(rowName(name, values), () => fn(...values as never[]));
    }
  };
}

// The third parameter, a time-out, is Bun's alone: Deno has none for tests.
export const test = Object.assign(
  (name: string, fn: Body, _timeout?: unknown) => addTest(name, fn),
  {
    skip: (name: string, fn: Body) => addTest(name, fn, { ignore: true }),
    only: (name: string, fn: Body) => addTest(name, fn, { only: true }),
    skipIf: (ignore: boolean) => (name: string, fn: Body, _timeout?: unknown) =>
      addTest(name, fn, { ignore }),
    if: (wanted: boolean) => (name: string, fn: Body, _timeout?: unknown) =>
      addTest(name, fn, { ignore: !wanted }),
    each: each((name, fn) => addTest(name, fn)),
  },
);
export const it = test;

function addGroup(name: string, fn: Body): void {
  const outer = scope;
  scope = newScope(name, outer);
  try {
    fn();
  } finally {
    scope = outer;
  }
}

export const describe = Object.assign(addGroup, { each: each(addGroup) });

export const beforeEach = (hook: Body): void => void scope.before.push(hook);
export const afterEach = (hook: Body): void => void scope.after.push(hook);
export const beforeAll = (hook: Body): void => void scope.beforeAll.push(hook);
export const afterAll = (hook: Body): void => void scope.afterAll.push(hook);

// --- expect -------------------------------------------------------------------------------------

/** A key that is undefined equals one that isn't there, as in Bun's `toEqual`. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (value === null || typeof value !== "object") return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  const kept = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(kept.map(([k, v]) => [k, withoutUndefined(v)]));
}

function equal(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(withoutUndefined(a), withoutUndefined(b));
}

function holds(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    return Array.isArray(whole) && whole.length === part.length &&
      part.every((one, i) => holds(whole[i], one));
  }
  if (part === null || typeof part !== "object") return equal(whole, part);
  if (whole === null || typeof whole !== "object") return false;
  const inner = whole as Record<string, unknown>;
  return Object.entries(part).every(([key, value]) => holds(inner[key], value));
}

function contains(whole: unknown, part: unknown): boolean {
  if (typeof whole === "string") return whole.includes(part as string);
  return [...whole as Iterable<unknown>].includes(part);
}

/** What was thrown by a function, or by the promise behind `.rejects`. */
function thrown(actual: unknown): { error: unknown } | undefined {
  if (typeof actual !== "function") return { error: actual };
  try {
    actual();
  } catch (error) {
    return { error };
  }
  return undefined;
}

function isError(actual: unknown, wanted: unknown): boolean {
  const caught = thrown(actual);
  if (!caught) return false;
  const { error } = caught;
  if (wanted === undefined) return true;
  if (typeof wanted === "function") return error instanceof wanted;
  const message = error instanceof Error ? error.message : String(error);
  if (typeof wanted === "string") return message.includes(wanted);
  if (wanted instanceof RegExp) return wanted.test(message);
  return message === (wanted as Error).message;
}

type Matcher = (actual: never, ...wanted: never[]) => boolean;

const matchers: Record<string, Matcher> = {
  toBe: (a: unknown, b: unknown) => Object.is(a, b),
  toEqual: equal,
  toStrictEqual: (a: unknown, b: unknown) => isDeepStrictEqual(a, b),
  toMatchObject: holds,
  toBeUndefined: (a: unknown) => a === undefined,
  toBeDefined: (a: unknown) => a !== undefined,
  toBeNull: (a: unknown) => a === null,
  toBeNaN: (a: unknown) => Number.isNaN(a),
  toBeTruthy: (a: unknown) => !!a,
  toBeFalsy: (a: unknown) => !a,
  toBeTrue: (a: unknown) => a === true,
  toBeFalse: (a: unknown) => a === false,
  toBeGreaterThan: (a: number, b: number) => a > b,
  toBeGreaterThanOrEqual: (a: number, b: number) => a >= b,
  toBeLessThan: (a: number, b: number) => a < b,
  toBeLessThanOrEqual: (a: number, b: number) => a <= b,
  toBeCloseTo: (a: number, b: number, digits = 2) => Math.abs(a - b) < 10 ** -digits / 2,
  toBeInstanceOf: (a: unknown, b: new (...args: unknown[]) => unknown) => a instanceof b,
  toContain: contains,
  toContainEqual: (a: Iterable<unknown>, b: unknown) => [...a].some((one) => equal(one, b)),
  toHaveLength: (a: { length: number }, b: number) => a.length === b,
  toHaveProperty: (a: object, key: string) => key in a,
  toMatch: (a: string, b: string | RegExp) => b instanceof RegExp ? b.test(a) : a.includes(b),
  toStartWith: (a: string, b: string) => a.startsWith(b),
  toEndWith: (a: string, b: string) => a.endsWith(b),
  toThrow: isError,
};

type Check = (...wanted: unknown[]) => unknown;

function check(name: string, actual: unknown, wanted: unknown[], not: boolean): void {
  const matcher = matchers[name] as ((...values: unknown[]) => boolean) | undefined;
  if (!matcher) throw new Error(`tests/deno/bun_test.ts has no matcher ${name}: add it there`);
  if (matcher(actual, ...wanted) !== not) return;
  const show = (value: unknown) => inspect(value, { depth: 6 }).slice(0, 2_000);
  throw new AssertionError({
    message: `expected ${show(actual)} ${not ? "not " : ""}${name} ${wanted.map(show).join(", ")}`,
    actual,
    expected: wanted[0],
    operator: name,
  });
}

async function settled(promise: unknown, wanted: "resolves" | "rejects"): Promise<unknown> {
  const what = typeof promise === "function" ? promise() : promise;
  const outcome = await Promise.resolve(what).then(
    (value) => ({ how: "resolves", value }),
    (value: unknown) => ({ how: "rejects", value }),
  );
  if (outcome.how === wanted) return outcome.value;
  throw new AssertionError({
    message: `the promise ${outcome.how} with ${inspect(outcome.value)}`,
  });
}

function expectation(
  actual: unknown,
  not: boolean,
  wait?: "resolves" | "rejects",
): Record<string, Check> {
  return new Proxy({}, {
    get(_target, key): unknown {
      const name = String(key);
      if (name === "not") return expectation(actual, !not, wait);
      if (name === "resolves" || name === "rejects") return expectation(actual, not, name);
      return (...wanted: unknown[]) =>
        wait
          ? settled(actual, wait).then((value) => check(name, value, wanted, not))
          : check(name, actual, wanted, not);
    },
  });
}

export const expect = Object.assign(
  (actual: unknown, _message?: string): Record<string, Check> => expectation(actual, false),
  {
    unreachable: (message = "this must not be reached"): never => {
      throw new AssertionError({ message });
    },
  },
);
