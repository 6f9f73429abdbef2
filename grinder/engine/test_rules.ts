/** The rules of the grinder's tests as a rules file: threads of an engine load them from there. */
export { rules as default } from "../fixtures.ts";
