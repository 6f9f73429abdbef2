import { expect, test } from "bun:test";
import { nearNames } from "./near_names.ts";

const known = ["router1", "router2", "router11", "gateway-berlin", "kiosk7", "r1"];

test("near names are those that differ by little, the nearest first", () => {
  expect(nearNames("routr1", known)).toEqual(["router1", "router11", "router2"]);
  expect(nearNames("rotuer2", known)).toEqual(["router2", "router1"]);
  expect(nearNames("Berlin", known)).toEqual(["gateway-berlin"]);
  expect(nearNames("kiosk", known)).toEqual(["kiosk7"]);
  expect(nearNames("camera", known)).toEqual([]);
  expect(nearNames("r2", known)).toEqual(["r1"]);
});

test("near names are five at most", () => {
  const many = Array.from({ length: 100 }, (_, i) => `router${i}`);
  expect(nearNames("router", many)).toHaveLength(5);
});
