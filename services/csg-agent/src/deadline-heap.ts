/**
 * Which actor wants a tick when: a binary heap with one entry per change, stale entries are skipped
 * when they come up. One coarse timer for all actors looks at its top.
 */
export class DeadlineHeap<K> {
  readonly #wanted = new Map<K, number>();
  #heap: { readonly at: number; readonly key: K }[] = [];

  /** @param at Infinity = never */
  set(key: K, at: number): void {
    const before = this.#wanted.get(key);
    if (at === Number.POSITIVE_INFINITY) {
      this.#wanted.delete(key);
      return;
    }
    this.#wanted.set(key, at);
    if (before !== at) this.#push({ at, key });
  }

  delete(key: K): void {
    this.#wanted.delete(key);
  }

  get size(): number {
    return this.#wanted.size;
  }

  /** Takes out every key whose time has come. */
  due(now: number): K[] {
    const keys: K[] = [];
    for (let top = this.#heap[0]; top && top.at <= now; top = this.#heap[0]) {
      this.#pop();
      if (this.#wanted.get(top.key) !== top.at) continue;
      this.#wanted.delete(top.key);
      keys.push(top.key);
    }
    return keys;
  }

  #push(entry: { at: number; key: K }): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.at <= entry.at) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child += 1;
      if (heap[child]!.at >= last.at) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
