import "./reflect-metadata.ts";
import { randomBytes, webcrypto } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

export interface TlsFiles {
  /** The certificate clients trust. */
  readonly ca: string;
  /** Server certificate and the CA's, PEM. */
  readonly cert: string;
  readonly key: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const VALID_DAYS = 30;

/**
 * A CA of its own and a server certificate for localhost, 127.0.0.1 and ::1. For one machine: the
 * CA's key is thrown away, so nothing else can ever be signed with it.
 * @param directory is made; the paths in the result are in it
 */
export async function writeTlsFiles(directory: string, nowMs: number = Date.now()): Promise<TlsFiles> {
  cryptoProvider.set(webcrypto);
  const times = { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + VALID_DAYS * DAY_MS), signingAlgorithm: ALGORITHM };
  const caKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...times,
    serialNumber: serialNumber(),
    name: "CN=Hawser local CA",
    keys: caKeys,
    extensions: [new BasicConstraintsExtension(true, 0, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true)],
  });
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const server: X509Certificate = await X509CertificateGenerator.create({
    ...times,
    serialNumber: serialNumber(),
    subject: "CN=localhost",
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
      ]),
    ],
  });
  mkdirSync(directory, { recursive: true });
  const files: TlsFiles = { ca: join(directory, "ca.pem"), cert: join(directory, "server.pem"), key: join(directory, "server-key.pem") };
  writeFileSync(files.ca, `${ca.toString("pem")}\n`);
  writeFileSync(files.cert, `${server.toString("pem")}\n${ca.toString("pem")}\n`);
  writeFileSync(files.key, `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), PemConverter.PrivateKeyTag)}\n`, { mode: 0o600 });
  return files;
}

/** Positive and not zero, as X.509 wants it (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x01;
  return bytes.toString("hex");
}
