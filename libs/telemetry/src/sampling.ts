let ratio = 0;

/** Set by startTelemetry; 0 while there is no export. */
export function setSampleRatio(value: number): void {
  ratio = value;
}

/** Whether a message that enters here without a context of its own is traced. At the edges only. */
export function shouldSample(random: () => number = Math.random): boolean {
  return ratio > 0 && (ratio >= 1 || random() < ratio);
}
