/** FNV-1a, 32 bit, over UTF-8: where a Client ID lives. Part of the layout: never change it. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) return fnv1a32Bytes(Buffer.from(text));
    hash = Math.imul(hash ^ unit, 0x01000193);
  }
  return hash >>> 0;
}

function fnv1a32Bytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The shard of a Client ID: fnv1a32(instance "/" Client ID) % shards. */
export function shardOf(instance: string, clientId: string, shards: number): number {
  return fnv1a32(`${instance}/${clientId}`) % shards;
}

/** The log partition of a Client ID, so that order per client is kept. */
export function partitionOf(instance: string, clientId: string, partitions: number): number {
  return fnv1a32(`${instance}/${clientId}`) % partitions;
}
