/**
 * Signature authentication: the password is Base64(HMAC-SHA1(key = AccessKeySecret, text = Client
 * ID)), the user name `Signature|<AccessKeyId>|<InstanceId>`. SHA-1 is the product's choice, and
 * HMAC-SHA1 is not broken by collisions.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export function signClientId(secret: string, clientId: string): string {
  return createHmac("sha1", secret).update(clientId).digest("base64");
}

/** In constant time with respect to the password's content. */
export function verifySignature(secret: string, clientId: string, password: string | Uint8Array): boolean {
  const expected = Buffer.from(signClientId(secret, clientId));
  const given = typeof password === "string" ? Buffer.from(password) : password;
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** In constant time; for tokens and custom secrets. */
export function equalSecrets(expected: string, given: string | Uint8Array): boolean {
  const key = "compare";
  const digest = (value: string | Uint8Array): Buffer => createHmac("sha256", key).update(value).digest();
  return timingSafeEqual(digest(expected), digest(given));
}

const modes = { Signature: "signature", Token: "token", DeviceCredential: "deviceCredential" } as const;
export type AuthenticationMode = (typeof modes)[keyof typeof modes];

export interface ParsedUserName {
  readonly mode: AuthenticationMode;
  readonly accessKeyId: string;
  readonly instance: string;
}

/** `Mode|<AccessKeyId>|<InstanceId>`. @returns null when it is of no such form */
export function parseUserName(userName: string): ParsedUserName | null {
  const parts = userName.split("|");
  if (parts.length !== 3) return null;
  const [word, accessKeyId, instance] = parts as [string, string, string];
  if (!Object.hasOwn(modes, word) || accessKeyId === "" || instance === "") return null;
  return { mode: modes[word as keyof typeof modes], accessKeyId, instance };
}

export function formatUserName(mode: AuthenticationMode, accessKeyId: string, instance: string): string {
  const word = Object.entries(modes).find(([, each]) => each === mode)![0];
  return `${word}|${accessKeyId}|${instance}`;
}
