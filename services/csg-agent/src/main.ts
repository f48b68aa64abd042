/** The csg-agent's process. */
import { runService } from "@hawser/service";
import { createCsgAgent } from "./create-csg-agent.ts";

runService("csg-agent", createCsgAgent);
