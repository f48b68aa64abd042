/** What the catalogue needs of libs/bus. */
export interface CatalogBus {
  ensureKv(bucket: string, options?: { readonly replicas?: number }): Promise<unknown>;
  kv(bucket: string): CatalogBucket;
}

export type CatalogWrite = { readonly kind: "ok"; readonly revision: number } | { readonly kind: "conflict" } | { readonly kind: "unknown" };

export interface CatalogChange {
  readonly key: string;
  /** Null when the key is gone. */
  readonly value: Buffer | null;
  readonly revision: number;
}

export interface CatalogBucket {
  create(key: string, value: Uint8Array): Promise<CatalogWrite>;
  update(key: string, value: Uint8Array, revision: number): Promise<CatalogWrite>;
  list(prefix: string): Promise<readonly { readonly key: string; readonly value: Buffer; readonly revision: number }[]>;
  watch(prefix: string, onChange: (change: CatalogChange) => void): Promise<{ stop(): void | Promise<void> }>;
}
