/** Reads one file out of a ZIP archive: enough of the format for archives without ZIP64 and encryption. */
import { inflateRawSync } from "node:zlib";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const STORED = 0;
const DEFLATED = 8;

/** @returns null when there is no such file @throws Error when the archive is not understood */
export function readZipFile(archive: Buffer, path: string): Buffer | null {
  let end = archive.length - 22;
  while (end >= 0 && archive.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("not a ZIP archive");
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    if (archive.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error("broken directory of a ZIP archive");
    const [method, sizeBytes] = [archive.readUInt16LE(at + 10), archive.readUInt32LE(at + 20)];
    const [nameBytes, extraBytes, commentBytes] = [archive.readUInt16LE(at + 28), archive.readUInt16LE(at + 30), archive.readUInt16LE(at + 32)];
    if (archive.toString("utf8", at + 46, at + 46 + nameBytes) === path) {
      const header = archive.readUInt32LE(at + 42);
      const data = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
      const bytes = archive.subarray(data, data + sizeBytes);
      if (method === STORED) return bytes;
      if (method === DEFLATED) return inflateRawSync(bytes);
      throw new Error(`ZIP method ${method} is not known`);
    }
    at += 46 + nameBytes + extraBytes + commentBytes;
  }
  return null;
}
