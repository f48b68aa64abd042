/**
 * Who a CONNECT comes from, and whether it may: a pure decision over the compiled catalogue. What
 * the catalogue does not say is refused. First the Client ID, then the credentials, then the right
 * of the identity to this group.
 */
import type { ErrorCode } from "@hawser/errors";
import { checkPlainClientId, parseClientId, parseUserName, verifySignature } from "@hawser/rules";
import type { CompiledInstance } from "./compiled-instance.ts";

export interface ConnectIdentity {
  readonly clientId: string;
  readonly userName: string | null;
  readonly password: Uint8Array | string | null;
}

export interface ConnectRules {
  /** mqtt.clientIdCharacters */
  readonly extraCharacters?: string;
  /** mqtt.maxClientIdLength */
  readonly maxLength?: number;
}

export interface Principal {
  readonly instance: string;
  readonly clientId: string;
  /** Empty in the plain profile when the Client ID names none. */
  readonly group: string;
  readonly device: string;
  readonly mode: "anonymous" | "signature";
  /** Null when anonymous. */
  readonly accessKeyId: string | null;
}

export type ConnectRefusal =
  | "unknown-instance"
  | "client-id"
  | "unknown-group"
  | "bad-user-name"
  | "mode-not-supported"
  | "unknown-key"
  | "no-password"
  | "bad-signature"
  | "group-not-allowed";

export type ConnectDecision =
  | { readonly ok: true; readonly principal: Principal }
  | {
      readonly ok: false;
      readonly reason: ConnectRefusal;
      /** What the client is told: errorTable has the CONNACK codes. */
      readonly code: ErrorCode;
      /** For the log, without secrets. */
      readonly detail: string;
    };

const codes: Readonly<Record<ConnectRefusal, ErrorCode>> = {
  "unknown-instance": "HAWSER_E_UNKNOWN_INSTANCE",
  "client-id": "HAWSER_E_CLIENT_ID",
  "unknown-group": "HAWSER_E_UNKNOWN_GROUP",
  "bad-user-name": "HAWSER_E_BAD_CREDENTIALS",
  "mode-not-supported": "HAWSER_E_BAD_CREDENTIALS",
  "unknown-key": "HAWSER_E_BAD_CREDENTIALS",
  "no-password": "HAWSER_E_BAD_CREDENTIALS",
  "bad-signature": "HAWSER_E_BAD_CREDENTIALS",
  "group-not-allowed": "HAWSER_E_NOT_AUTHORIZED",
};

/** The instance a user name asks for: its third part, else the listener's default. */
export function instanceOf(userName: string | null, defaultInstance: string): string {
  return (userName === null ? null : parseUserName(userName)?.instance) ?? defaultInstance;
}

/** @param instance undefined when the catalogue has none of that name: refused */
export function authenticate(instance: CompiledInstance | undefined, identity: ConnectIdentity, rules: ConnectRules = {}): ConnectDecision {
  if (!instance) return refuse("unknown-instance", "");
  return instance.profile === "plain" ? plain(instance, identity) : product(instance, identity, rules);
}

function refuse(reason: ConnectRefusal, detail: string): ConnectDecision {
  return { ok: false, reason, code: codes[reason], detail };
}

function plain(instance: CompiledInstance, { clientId }: ConnectIdentity): ConnectDecision {
  const problem = checkPlainClientId(clientId);
  if (problem) return refuse("client-id", problem);
  const parsed = parseClientId(clientId, { maxLength: 255 });
  const { group, device } = parsed.ok ? parsed : { group: "", device: clientId };
  return { ok: true, principal: { instance: instance.id, clientId, group, device, mode: "anonymous", accessKeyId: null } };
}

/** Signed with when the key is not known, so that the answer takes as long. */
const NO_SECRET = "-";

function product(instance: CompiledInstance, identity: ConnectIdentity, rules: ConnectRules): ConnectDecision {
  const { clientId, userName, password } = identity;
  const parsed = parseClientId(clientId, rules);
  if (!parsed.ok) return refuse("client-id", parsed.problem);
  if (!instance.hasGroup(parsed.group)) return refuse("unknown-group", parsed.group);
  const user = userName === null ? null : parseUserName(userName);
  if (!user || user.instance !== instance.id) return refuse("bad-user-name", user ? `instance ${user.instance}` : "not of the form Mode|AccessKeyId|InstanceId");
  if (user.mode !== "signature") return refuse("mode-not-supported", user.mode);
  if (password === null) return refuse("no-password", "");
  const credential = instance.credential(user.accessKeyId);
  const signed = verifySignature(credential?.accessKeySecret ?? NO_SECRET, clientId, password);
  if (!credential) return refuse("unknown-key", user.accessKeyId);
  if (!signed) return refuse("bad-signature", user.accessKeyId);
  if (!credential.groups.includes(parsed.group) && !credential.groups.includes("*")) return refuse("group-not-allowed", `${user.accessKeyId} and ${parsed.group}`);
  return {
    ok: true,
    principal: { instance: instance.id, clientId, group: parsed.group, device: parsed.device, mode: "signature", accessKeyId: user.accessKeyId },
  };
}
