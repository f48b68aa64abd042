/** The ingress's process. */
import { runService } from "@hawser/service";
import { Ingress } from "./ingress.ts";

runService("ingress", (parts) => new Ingress(parts));
