/** The REST API of the csg-agent, as far as the demo looks at it. */
export interface CommandView {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly code: string | null;
  readonly traceId: string | null;
  readonly history: readonly { readonly state: string; readonly at: number }[];
}

export interface GatewayView {
  readonly id: string;
  readonly state?: string;
  readonly link?: { readonly state: string };
}

export class RestClient {
  readonly #base: string;
  readonly #token: string;

  constructor(address: string, token: string) {
    this.#base = `http://${address}`;
    this.#token = token;
  }

  async #get<T>(path: string): Promise<T | null> {
    const response = await fetch(this.#base + path, { headers: { authorization: `Bearer ${this.#token}` } });
    return response.ok ? ((await response.json()) as T) : null;
  }

  command(gateway: string, id: string): Promise<CommandView | null> {
    return this.#get(`/v1/commands/${id}?gateway=${encodeURIComponent(gateway)}`);
  }

  gateway(id: string): Promise<GatewayView | null> {
    return this.#get(`/v1/gateways/${encodeURIComponent(id)}`);
  }
}
