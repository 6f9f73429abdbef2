/** The agent's command line: what it can do, and every option with its unit and default. */
import process from "node:process";
import { limits } from "../shared/limits.ts";
import { type OptionSpec, programOptions, type Values } from "../shared/options.ts";

const usage = `
Usage: logmill-agent [run] [OPTIONS]         ship this machine's logs until it is stopped
       logmill-agent identity [OPTIONS]      make this device's key; print its thumbprint
       logmill-agent token [OPTIONS]         print a token for curl, good for five minutes
       logmill-agent status [OPTIONS]        what the running agent does, in plain words
       logmill-agent doctor [OPTIONS]        what would survive a panic of this machine, and what to
                                             change; status 1 if something would be lost
       logmill-agent logos NAME [BURST] [DAY] [-- CMD ARGS...]
                                             put a program's lines into the kernel's log
       logmill-agent omprog [OPTIONS]        take rsyslog's messages (its module omprog)`;

/** Of every command that uploads. */
export const tlsOptions = {
  pin: {
    type: "list",
    unit: "file|sha256:hex",
    help: "trust only this certificate of an https receiver (default: the public authorities)",
  },
  "client-cert": {
    type: "flag",
    unit: "",
    help: "present this device's certificate in TLS, to a proxy that asks for one",
  },
} satisfies Record<string, OptionSpec>;

export const options = {
  receiver: {
    type: "list",
    unit: "url",
    help: "where to ship to; the next is tried on failure (default: http://127.0.0.1:4750)",
  },
  ...tlsOptions,
  source: { type: "list", unit: "source", help: "kmsg, stdin or none (default: kmsg)" },
  file: {
    type: "list",
    unit: "path",
    help: "a file to follow, or a glob such as '/var/log/*.log'",
  },
  syslog: { type: "text", unit: "path", help: "take programs' syslog messages here: /dev/log" },
  "logos-socket": {
    type: "text",
    unit: "path",
    help: "take programs' lines here and put them into the kernel's log",
  },
  state: {
    type: "text",
    unit: "folder",
    default: process.env["STATE_DIRECTORY"] ?? "/var/lib/logmill",
    help: "the key and what was acknowledged",
  },
  run: {
    type: "text",
    unit: "folder",
    help: "tmpfs for what is written often, to spare flash (default: RUNTIME_DIRECTORY or none)",
  },
  name: { type: "text", unit: "name", default: "stdin", help: "the program whose lines stdin has" },
  audience: {
    type: "text",
    unit: "name",
    default: "logmill",
    help: "the service that tokens name",
  },
  interval: { type: "number", unit: "s", help: "upload so often in place of a live stream" },
  memory: {
    type: "number",
    unit: "bytes",
    default: limits.spoolBytesMax,
    help: "memory of each source for what isn't acknowledged",
  },
  spool: { type: "text", unit: "folder", help: "disk for a long outage (default: none)" },
  "spool-bytes": {
    type: "number",
    unit: "bytes",
    default: limits.diskQueueBytesMax,
    help: "the most that --spool takes, for each source",
  },
  "spool-eager": {
    type: "flag",
    unit: "",
    help: "write each record to --spool at once: for memory that survives a reset, not for flash",
  },
  "max-rate": {
    type: "number",
    unit: "bytes/s",
    help: "of each source; what is beyond is dropped",
  },
  pseudonymise: { type: "text", unit: "kinds", help: "mac,ipv4: keyed pseudonyms for addresses" },
  "pseudonym-key": {
    type: "text",
    unit: "file",
    help: "the key for --pseudonymise, 32 bytes or more",
  },
  pstore: {
    type: "text",
    unit: "folder",
    default: "/",
    help: "the root below which dumps are looked for",
  },
  root: {
    type: "text",
    unit: "folder",
    default: "/",
    help: "doctor: the machine's files are below it, in place of this one's",
  },
  json: { type: "flag", unit: "", help: "status, doctor: as JSON" },
} satisfies Record<string, OptionSpec>;

export type AgentOptions = Values<typeof options>;

/** Prints help, or an error, and ends where asked to. */
export function commandLine(argv: string[]): { values: AgentOptions; command: string } {
  const { values, positionals } = programOptions(usage, options, argv);
  return { values, command: positionals[0] ?? "run" };
}
