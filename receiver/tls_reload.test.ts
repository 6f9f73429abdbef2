import { expect, test } from "bun:test";
import { newCertificate } from "../tests/tls_servers.ts";
import type { Tls } from "./tls.ts";
import { TlsReload } from "./tls_reload.ts";

const newTls = (...warnings: string[]): Tls => ({ ...newCertificate("localhost"), warnings });

/** `found` is what the files hold: a certificate, or what is wrong. */
function setUp(current: Tls) {
  const files: { found: Tls | Error } = { found: current };
  const [installed, said]: [Tls[], string[]] = [[], []];
  const reload = new TlsReload(current, {
    read: () => {
      if (files.found instanceof Error) throw files.found;
      return { ...files.found };
    },
    install: (tls) => void installed.push(tls),
    say: (text) => void said.push(text),
  });
  const find = (found: Tls | Error) => {
    files.found = found;
    reload.look();
  };
  return { find, installed, said };
}

test("a certificate that was renewed is installed, once, with a word and its warnings", () => {
  const [old, renewed] = [newTls(), newTls("it has expired")];
  const { find, installed, said } = setUp(old);
  find(old);
  expect(installed).toEqual([]);
  find(renewed);
  find(renewed);
  expect(installed).toEqual([renewed]);
  expect(said).toEqual([`new certificate: sha256:${renewed.fingerprint}`, "it has expired"]);
  // The same certificate with another key in its file can't be: but another chain behind it can.
  find({ ...renewed, cert: renewed.cert + old.cert });
  expect(installed.length).toBe(2);
});

test("a certificate's files that are wrong for a moment are no news, for longer they are, once", () => {
  const [old, renewed] = [newTls(), newTls()];
  const { find, installed, said } = setUp(old);
  find(new Error("Cannot serve https"));
  find(renewed);
  expect(said).toEqual([`new certificate: sha256:${renewed.fingerprint}`]);
  for (let time = 0; time < 5; time++) find(new Error("Cannot serve https"));
  expect(said.slice(1)).toEqual([
    "Cannot serve https. It goes on with the certificate that it has.",
  ]);
  find(renewed);
  expect(said.slice(2)).toEqual(["the certificate's files are right again"]);
  find(new Error("Cannot serve https"));
  find(renewed);
  expect(said.length).toBe(3);
  expect(installed).toEqual([renewed]);
});

test("a certificate that can't be installed is tried again at the next look", () => {
  const [old, renewed] = [newTls(), newTls()];
  let free = false;
  const installed: Tls[] = [];
  const reload = new TlsReload(old, {
    read: () => renewed,
    install: (tls) => {
      if (!free) throw new Error("Cannot listen");
      installed.push(tls);
    },
    say: () => {},
  });
  reload.look();
  free = true;
  reload.look();
  expect(installed).toEqual([renewed]);
});
