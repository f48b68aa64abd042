import { expect, it } from "vitest";
import { startS3 } from "../src/index.ts";

it("has the files it was given, and those put later, under their keys", async () => {
  const s3 = await startS3({ files: { "a/one.txt": "first", "a/two words.txt": "second" } });
  await s3.put("b.bin", Buffer.of(0, 255));
  const list = await (await fetch(`${s3.url}/${s3.bucket}?list-type=2`)).text();
  expect([...list.matchAll(/<Key>(.*?)<\/Key>/g)].map((match) => match[1])).toEqual(["a/one.txt", "a/two words.txt", "b.bin"]);
  expect(await (await fetch(`${s3.url}/${s3.bucket}/a/two%20words.txt`)).text()).toBe("second");
  await s3.stop();
  await expect(fetch(s3.url)).rejects.toThrow();
});
