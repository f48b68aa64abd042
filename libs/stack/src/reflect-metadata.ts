/**
 * The two functions of the Metadata Reflection API that @peculiar/x509 (through tsyringe) insists
 * on. Must be imported before it.
 */
interface MetadataReflect {
  getMetadata?(key: unknown, target: object): unknown;
  getOwnMetadata?(key: unknown, target: object): unknown;
  defineMetadata?(key: unknown, value: unknown, target: object): void;
}

const reflect = Reflect as MetadataReflect;

if (!reflect.getMetadata) {
  const stored = new WeakMap<object, Map<unknown, unknown>>();
  reflect.getOwnMetadata = (key, target) => stored.get(target)?.get(key);
  reflect.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      if (stored.get(at)?.has(key)) return stored.get(at)!.get(key);
    }
    return undefined;
  };
  reflect.defineMetadata = (key, value, target) => {
    const known = stored.get(target) ?? new Map<unknown, unknown>();
    stored.set(target, known.set(key, value));
  };
}
