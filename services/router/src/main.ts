/** The router's process. */
import { runService } from "@hawser/service";
import { Router } from "./router.ts";

runService("router", ({ logger, ...parts }) => new Router({ ...parts, log: logger }));
