/** The rules as they are, but a reboot's event doesn't wait a minute for what may still come of its end. */
import { builtInEvents } from "../../grinder/built_in.ts";

export { default } from "../../rules.ts";
export const builtIn = builtInEvents({ reboot: { wait: "0s" } });
