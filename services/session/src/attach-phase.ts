/**
 * After a shard was acquired: which ingresses have yet to list their connections of it. An owner
 * answers nothing that depends on connections before every ingress it has heard of has listed, or
 * is dead, and before it has listened long enough to have heard of all.
 */
export class AttachPhase {
  readonly #listed = new Set<string>();
  readonly #expected = new Set<string>();
  readonly #settledAtMs: number;

  /** @param settledAtMs when every ingress that lives has been heard, at the latest */
  constructor(settledAtMs: number) {
    this.#settledAtMs = settledAtMs;
  }

  /** @returns true when it has not been asked for its list yet */
  expect(ingress: string): boolean {
    if (this.#listed.has(ingress) || this.#expected.has(ingress)) return false;
    this.#expected.add(ingress);
    return true;
  }

  listed(ingress: string): void {
    this.#expected.delete(ingress);
    this.#listed.add(ingress);
  }

  dead(ingress: string): void {
    this.#expected.delete(ingress);
  }

  missing(): readonly string[] {
    return [...this.#expected];
  }

  isOver(nowMs: number): boolean {
    return this.#expected.size === 0 && nowMs >= this.#settledAtMs;
  }
}
