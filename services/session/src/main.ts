/** The session service's process. */
import { runService } from "@hawser/service";
import { createSession } from "./create-session.ts";

runService("session", createSession);
