/** Whether a request can be run at all: method, parameters, order, time left. */
import { type CommandError, commandError, describeIssues, type Method, type RequestMessage } from "@hawser/csg-protocol";

export type CheckedRequest =
  | { readonly ok: true; readonly method: Method; readonly params: unknown }
  | { readonly ok: false; readonly error: CommandError };

/** @param highConfig highest `seq` of the config lane in the journal @param leftMs what is left of its time */
export function checkRequest(request: RequestMessage, methods: ReadonlyMap<string, Method>, highConfig: number, leftMs: number): CheckedRequest {
  const method = methods.get(request.method);
  if (!method) return refused(commandError("METHOD_UNKNOWN", `no method ${request.method}`, { supported: [...methods.keys()] }));
  if (leftMs <= 0) return refused(commandError("NOT_ACCEPTED", "its time was over when it arrived"));
  if (request.lane === "config" && request.prev !== undefined && request.prev > highConfig) {
    return refused(commandError("SEQ_GAP", `the journal ends at ${highConfig} of lane config, ${request.prev} had been taken`));
  }
  const params = method.params.safeParse(request.params ?? {});
  if (!params.success) return refused(commandError("PARAM_INVALID", describeIssues(params.error)));
  return { ok: true, method, params: params.data };
}

function refused(error: CommandError): CheckedRequest {
  return { ok: false, error };
}
